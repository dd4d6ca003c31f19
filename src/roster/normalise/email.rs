//! E-mail addresses.

use std::borrow::Cow;

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
pub fn email(text: &str) -> Result<Cow<'_, str>, NotAnEmail> {
    let text = trim(text);
    let text = text.strip_prefix("mailto:").unwrap_or(text);
    if !is_plain(text.as_bytes()) {
        check(text)?;
    }
    let is_upper = |byte: u8| byte.is_ascii_uppercase();
    Ok(if text.bytes().any(is_upper) { text.to_ascii_lowercase().into() } else { text.into() })
}

/// Whether it is as nearly all addresses are, which [`check`] lets pass: it takes a third of the time that reading the rest of a row does.
fn is_plain(text: &[u8]) -> bool {
    let Some((local, domain)) = text.iter().position(|byte| *byte == b'@').and_then(|at| text.split_at_checked(at))
    else {
        return false;
    };
    let is_atom = |atom: &[u8]| {
        let is_sign = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+');
        !atom.is_empty() && atom.iter().all(is_sign)
    };
    let is_word = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_alphanumeric);
    let mut labels = domain.get(1..).unwrap_or_default().split(|byte| *byte == b'.');
    let top = labels.next_back().unwrap_or_default();
    let mut labels = labels.peekable();
    // No part of so short an address is too long.
    text.len() < 64
        && local.split(|byte| *byte == b'.').all(is_atom)
        && labels.peek().is_some()
        && labels.all(is_word)
        && 2 <= top.len()
        && top.iter().all(u8::is_ascii_alphabetic)
}

/// Whether an address can be used, whatever it looks like.
fn check(text: &str) -> Result<(), NotAnEmail> {
    if MAX_EMAIL_CHARS < text.len() || !text.is_ascii() || text.contains('"') {
        return Err(NotAnEmail);
    }
    let (_, domain) = text.rsplit_once('@').ok_or(NotAnEmail)?;
    let top = domain.rsplit('.').next().unwrap_or_default();
    if top.len() < 2 || top.bytes().all(|byte| byte.is_ascii_digit()) || !domain.split('.').all(is_label) {
        return Err(NotAnEmail);
    }
    let options = Options::default().with_required_tld().without_display_text().without_domain_literal();
    EmailAddress::parse_with_options(text, options).map(drop).map_err(|_| NotAnEmail)
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_looks_plain_is_an_address(text in "[a-zA-Z0-9._+@-]{1,70}|[a-z.+-]{1,9}@[a-z0-9.-]{1,12}|[a-z]{1,70}@[a-z]{1,70}\\.[a-z]{1,70}") {
            prop_assert!(!is_plain(text.as_bytes()) || check(&text).is_ok(), "{text}");
        }
    }
}
