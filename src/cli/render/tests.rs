use super::*;
use crate::report::*;
use samples::at;

mod samples;

#[test]
fn scratch() {
    let mut list = vec![
        samples::run("run_20260301_060000_250", RunState::Partial),
        samples::run("run_20260228_060000_250", RunState::Completed),
    ];
    list[1].counts = Counts { rows: 1204, ..Counts::default() };
    list[1].received_at = at("2026-02-28T06:00:00Z");
    list[1].file = Some(samples::facts("employees of acme and its daughters 2026-02-28 final.csv"));
    let now = at("2026-03-01T09:00:10Z");
    for width in [80, 120] {
        let screen = Screen::fixed(width);
        println!("=====history\n{}", runs(&screen, &list));
        println!("=====plan\n{}", plan(&screen, &samples::plan(PlanVerdict::Hold), &samples::counts()));
        println!("=====run\n{}", run(&screen, &samples::partial()));
        println!("=====batch\n{}", batch(&screen, &samples::batch_detail()));
        println!("=====status\n{}", status(&screen, &samples::well(), now));
        println!("=====status\n{}", status(&screen, &samples::troubled(), now));
        println!("=====groups\n{}", groups(&screen, &samples::groups()));
    }
}
