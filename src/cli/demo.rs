//! `demo`.
use super::{Context, Ending, Failure};
/// stub
pub async fn demo(_context: &Context) -> Result<Ending, Failure> {
    Ok(Ending::Done)
}
