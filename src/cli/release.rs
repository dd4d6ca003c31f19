//! `approve`, `discard` and `retry`: a person decides.

use crate::control::Question;

use super::export::{deliver, ending};
use super::{Context, Ending, Failure, render};

/// `approve RUN --reason TEXT`.
///
/// # Errors
/// [`Failure`].
pub async fn approve(context: &Context, run: String, reason: String) -> Result<Ending, Failure> {
    carry_out(context, Question::Approve { run, reason }).await
}

/// `discard RUN --reason TEXT`.
///
/// # Errors
/// [`Failure`].
pub async fn discard(context: &Context, run: String, reason: String) -> Result<Ending, Failure> {
    carry_out(context, Question::Discard { run, reason }).await
}

/// `retry GROUP`.
///
/// # Errors
/// [`Failure`].
pub async fn retry(context: &Context, group: String) -> Result<Ending, Failure> {
    carry_out(context, Question::Retry { group }).await
}

async fn carry_out(context: &Context, question: Question) -> Result<Ending, Failure> {
    let config = context.config()?;
    let detail = deliver(context, &config, question, None).await?;
    render::print(&render::run(&context.screen, &detail))?;
    Ok(ending(&detail))
}
