//! E-mail addresses.

use compact_str::CompactString;
use email_address::{EmailAddress, Options};
use thiserror::Error;

use super::text::trim;

/// Longest address that mail systems carry.
const MAX_EMAIL_CHARS: usize = 254;

/// A text that is no usable e-mail address.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("not an e-mail address")]
pub struct NotAnEmail;

/// An e-mail address in lower case.
///
/// Stricter than the standards: one address that the API does not like costs a whole group its update, so quoted local
/// parts, letters beyond ASCII, bare host names and numbers for a top-level domain are refused.
///
/// # Errors
/// [`NotAnEmail`] when the text is no usable address.
pub fn email(text: &str) -> Result<CompactString, NotAnEmail> {
    let text = trim(text);
    let text = text.strip_prefix("mailto:").unwrap_or(text);
    if MAX_EMAIL_CHARS < text.len() || !text.is_ascii() || text.contains('"') {
        return Err(NotAnEmail);
    }
    let (_, domain) = text.rsplit_once('@').ok_or(NotAnEmail)?;
    let top = domain.rsplit('.').next().unwrap_or_default();
    if top.len() < 2 || top.bytes().all(|byte| byte.is_ascii_digit()) || !domain.split('.').all(is_label) {
        return Err(NotAnEmail);
    }
    let options = Options::default().with_required_tld().without_display_text().without_domain_literal();
    EmailAddress::parse_with_options(text, options).map_err(|_| NotAnEmail)?;
    let mut address = CompactString::from(text);
    address.make_ascii_lowercase();
    Ok(address)
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
