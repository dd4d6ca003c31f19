//! `member`, `roster` and `revert`: what was, why, and back to it.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};

use crate::clock::Clock;
use crate::control::{Answer, Question};

use super::export::{deliver, ending, unexpected};
use super::{Context, Ending, Failure, access, render};

/// `member REF`.
///
/// # Errors
/// [`Failure`].
pub async fn member(context: &Context, reference_id: String) -> Result<Ending, Failure> {
    let config = context.config()?;
    let answer = access::ask(&config, Question::Member { reference_id }, None, |_| {}).await?;
    let Answer::Member(detail) = answer else { return Err(unexpected()) };
    render::print(&render::member(&context.screen, &detail))?;
    Ok(Ending::Done)
}

/// `roster GROUP [--at TIME]`.
///
/// # Errors
/// [`Failure`].
pub async fn roster(context: &Context, group: String, at: Option<String>) -> Result<Ending, Failure> {
    let config = context.config()?;
    let now = Clock::system().now();
    let at = at.map(|at| parse_time(&at, now)).transpose().map_err(|said| Failure::new(Ending::Usage, said))?;
    let answer = access::ask(&config, Question::Roster { group, at }, None, |_| {}).await?;
    let Answer::Roster(report) = answer else { return Err(unexpected()) };
    render::print(&render::roster(&context.screen, &report))?;
    Ok(Ending::Done)
}

/// `revert BATCH --reason TEXT`.
///
/// # Errors
/// [`Failure`].
pub async fn revert(context: &Context, batch: String, reason: String) -> Result<Ending, Failure> {
    let config = context.config()?;
    let detail = deliver(context, &config, Question::Revert { batch, reason }, None).await?;
    render::print(&render::run(&context.screen, &detail))?;
    Ok(ending(&detail))
}

/// A time, or the end of a day: whoever asks for a day asks what was in force when it was over. Of today that is now.
fn parse_time(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.to_utc());
    }
    let wrong =
        || format!("{text} is no time: write 2026-03-01T12:00:00Z, or 2026-03-01 for the end of that day (UTC)");
    let day: NaiveDate = text.parse().map_err(|_| wrong())?;
    let next = day.checked_add_days(Days::new(1)).ok_or_else(wrong)?;
    let end = next.and_time(NaiveTime::MIN).and_utc() - chrono::TimeDelta::nanoseconds(1);
    Ok(if now.date_naive() == day { end.min(now) } else { end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_means_its_end_and_today_means_now() {
        let now: DateTime<Utc> = "2026-03-05T08:00:00Z".parse().unwrap();
        let at = |text: &str| parse_time(text, now).map(|at| at.to_rfc3339());
        assert_eq!(at("2026-03-01").unwrap(), "2026-03-01T23:59:59.999999999+00:00");
        assert_eq!(at("2026-03-05").unwrap(), "2026-03-05T08:00:00+00:00");
        assert_eq!(at("2026-03-01T09:00:00-05:00").unwrap(), "2026-03-01T14:00:00+00:00");
        assert!(at("last Tuesday").unwrap_err().contains("is no time"));
    }
}
