//! `man`: one page with every command and its options, for a machine without a browser.

use std::io::{self, Write};

use clap::{Arg, Command, CommandFactory};
use clap_mangen::Man;

use super::{Args, EXIT_CODES};

const FILES: &str = "\
.SH FILES
.TP
/etc/rosterd/config.toml
The config. Every key is explained in config.example.toml.
.TP
/var/lib/rosterd
The state: what the API confirmed, the runs, the work under way.
.TP
/run/rosterd/control.sock
How the commands reach the running daemon.
.SH ENVIRONMENT
.TP
ROSTERD_CONFIG
The config file, where \\-c does not name one.
.TP
ROSTERD_SECTION__KEY
Overrides a key of the config, but for those of [[source]]: ROSTERD_API__BASE_URL.
.TP
VITABLE_CONNECT_API_KEY
The API key, where neither systemd's credential nor api_key_file has it.
.TP
RUST_LOG
Filters the log.
";

/// The page, in roff.
///
/// # Errors
/// Only those of the writer.
pub fn page() -> io::Result<Vec<u8>> {
    let command = Args::command();
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_options_section(&mut page)?;
    writeln!(page, ".SH COMMANDS")?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        entry(&mut page, "", sub)?;
    }
    writeln!(page, ".SH EXIT STATUS\n.nf")?;
    for line in EXIT_CODES.lines().skip(1) {
        writeln!(page, "{}", roff(line.trim_end()))?;
    }
    writeln!(page, ".fi")?;
    page.write_all(FILES.as_bytes())?;
    Ok(page)
}

/// A command, its own arguments, and the commands below it.
fn entry(page: &mut Vec<u8>, parents: &str, command: &Command) -> io::Result<()> {
    let name = format!("{parents}{}", command.get_name());
    let own: Vec<&Arg> = command.get_arguments().filter(|arg| !arg.is_global_set() && arg.get_id() != "help").collect();
    let places: Vec<String> = own.iter().filter(|arg| arg.is_positional()).map(|arg| value(arg)).collect();
    writeln!(page, ".SS \"{}\"", roff(format!("{name} {}", places.join(" ")).trim_end()))?;
    if let Some(about) = command.get_about() {
        writeln!(page, "{}.", roff(&about.to_string()))?;
    }
    for arg in own {
        let flag = arg.get_long().map(|long| format!("--{long}")).unwrap_or_default();
        let takes = arg.get_action().takes_values() && !arg.is_positional();
        let head = if arg.is_positional() { value(arg) } else { flag };
        let tail = if takes { format!(" {}", value(arg)) } else { String::new() };
        writeln!(page, ".TP\n\\fB{}\\fR{}", roff(&head), roff(&tail))?;
        writeln!(page, "{}", roff(&arg.get_help().map(ToString::to_string).unwrap_or_default()))?;
    }
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        entry(page, &format!("{name} "), sub)?;
    }
    Ok(())
}

/// What an argument's value is called.
fn value(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    names.first().map_or_else(|| arg.get_id().as_str().to_uppercase(), ToString::to_string)
}

/// Text that roff takes as text.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
