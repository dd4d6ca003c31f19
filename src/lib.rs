//! `rosterd` keeps the member rosters of a health-benefits API in step with the employee exports of an HR system.

pub mod api;
pub mod cli;
pub mod clock;
pub mod config;
pub mod export;
pub mod plan;
pub mod report;
pub mod roster;
pub mod store;
