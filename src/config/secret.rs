//! The API key: three places, the first that has one wins. Its text goes into a secret and nowhere else.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use secrecy::SecretString;

use super::environment::Environment;
use super::finding::{Fault, Finding, Reported};
use super::kinds;
use super::reader::Reader;

/// The systemd credential's name (`LoadCredential=vitable-api-key:…`).
const CREDENTIAL: &str = "vitable-api-key";
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";
const VARIABLE: &str = "VITABLE_CONNECT_API_KEY";
/// Keys are short; a longer file is something else, named by mistake.
const LONGEST_KEY: u64 = 4096;

/// The key, and where it came from.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) key: Option<SecretString>,
    pub(super) origin: Option<String>,
}

/// Looks the key up.
pub(super) fn find(reader: &mut Reader<'_>, environment: &Environment) -> Result<Found, Reported> {
    let named = reader.read("api.api_key_file", kinds::path);
    if let Some(directory) = environment.value_of(CREDENTIALS_DIRECTORY).filter(|directory| !directory.is_empty()) {
        let file = Path::new(directory).join(CREDENTIAL);
        match read(&file) {
            // systemd hands over credentials of other kinds, too.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            outcome => return accept_file(reader, &file, outcome),
        }
    }
    if let Some(file) = named? {
        let outcome = read(&file);
        // Credentials of systemd lie in a folder that nobody else can enter; this file may lie anywhere.
        if outcome.is_ok() && is_open_to_all(&file) {
            let fault = Fault::new(
                "can be read or written by every user of this machine",
                format!("run: chmod o= {}", file.display()),
            );
            return Err(reader.report("api.api_key_file", fault));
        }
        return accept_file(reader, &file, outcome);
    }
    match environment.value_of(VARIABLE) {
        Some(text) => accept(reader, &format!("environment variable {VARIABLE}"), text.to_owned()),
        None => Ok(Found::default()),
    }
}

fn read(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(file)?.take(LONGEST_KEY + 1).read_to_string(&mut text)?;
    Ok(text)
}

fn is_open_to_all(file: &Path) -> bool {
    const OTHERS: u32 = 0o007;
    std::fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & OTHERS != 0)
}

fn accept_file(reader: &mut Reader<'_>, file: &Path, outcome: io::Result<String>) -> Result<Found, Reported> {
    let place = file.display().to_string();
    match outcome {
        Ok(text) => accept(reader, &place, text),
        // An operator who only looks at the history need not be able to read the service's key.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Ok(Found { key: None, origin: Some(format!("{place}, which this user may not read")) })
        }
        Err(error) => {
            let message = if error.kind() == io::ErrorKind::InvalidData {
                "holds something that is not a key".to_owned()
            } else {
                format!("cannot be read: {}", error.kind())
            };
            Err(refuse(reader, &place, &message, "put the key there, or name another file in `api.api_key_file`"))
        }
    }
}

fn accept(reader: &mut Reader<'_>, place: &str, mut text: String) -> Result<Found, Reported> {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    let message = if text.is_empty() {
        "is empty"
    } else if text.contains(['\n', '\r']) {
        "holds several lines"
    } else if LONGEST_KEY < u64::try_from(text.len()).unwrap_or(u64::MAX) {
        "is too long for a key"
    } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        "holds blanks or characters that cannot be seen"
    } else {
        return Ok(Found { key: Some(SecretString::from(text)), origin: Some(place.to_owned()) });
    };
    Err(refuse(reader, place, message, "put the key there, alone on one line"))
}

fn refuse(reader: &mut Reader<'_>, place: &str, message: &str, cure: &str) -> Reported {
    reader.push(Finding {
        file: place.to_owned(),
        line: None,
        key: "the API key".to_owned(),
        value: None,
        message: message.to_owned(),
        cure: cure.to_owned(),
    });
    Reported
}
