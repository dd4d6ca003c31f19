//! The commands' end of the socket.

use std::io;
use std::path::Path;

use tokio::fs::File;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::{Answer, COPY_BYTES, ControlError, LONGEST_LINE, Line, Progress, Question, Refusal};
use crate::report::BackupReport;

/// A connection to the daemon, good for one question.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
}

impl Client {
    /// Connects to the daemon that listens at `socket`.
    ///
    /// # Errors
    /// [`ControlError::NoDaemon`] when nobody listens there, [`ControlError::Forbidden`] without the right to ask.
    pub async fn connect(socket: &Path) -> Result<Self, ControlError> {
        match UnixStream::connect(socket).await {
            Ok(stream) => Ok(Self { stream }),
            Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused].contains(&error.kind()) => {
                Err(ControlError::NoDaemon { path: socket.to_owned() })
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(ControlError::Forbidden { path: socket.to_owned() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Asks, sends the file's bytes after the question, and waits for the answer. `progress` is told what moves.
    ///
    /// # Errors
    /// [`ControlError`] when the connection breaks. A refusal is an answer.
    pub async fn ask(
        self,
        question: &Question,
        body: Option<&mut (dyn AsyncRead + Unpin + Send)>,
        mut progress: impl FnMut(Progress),
    ) -> Result<Result<Answer, Refusal>, ControlError> {
        let (read, mut write) = self.stream.into_split();
        let mut line = serde_json::to_vec(question)?;
        line.push(b'\n');
        write.write_all(&line).await?;
        if let Some(body) = body {
            // Exactly the size that was announced: a file that grows meanwhile is cut, one that shrinks is noticed there.
            let mut body = BufReader::with_capacity(COPY_BYTES, body.take(question.body_size()));
            tokio::io::copy_buf(&mut body, &mut write).await?;
        }
        write.flush().await?;
        let mut read = BufReader::new(read.take(LONGEST_LINE as u64));
        last_line(&mut read, &mut progress).await
    }

    /// Asks for a backup and writes it to `into`.
    ///
    /// # Errors
    /// [`ControlError`] when the connection breaks, also in the middle of the backup.
    pub async fn fetch_backup(self, into: &mut File) -> Result<Result<BackupReport, Refusal>, ControlError> {
        let (read, mut write) = self.stream.into_split();
        let mut line = serde_json::to_vec(&Question::BackUp)?;
        line.push(b'\n');
        write.write_all(&line).await?;
        let mut read = BufReader::new(read);
        let report = match last_line(&mut read, &mut |_| {}).await? {
            Ok(Answer::BackedUp { report, .. }) => *report,
            Ok(_) => return Err(io::Error::from(io::ErrorKind::InvalidData).into()),
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut backup = BufReader::with_capacity(COPY_BYTES, read.take(report.bytes));
        let copied = tokio::io::copy_buf(&mut backup, into).await?;
        into.flush().await?;
        if copied != report.bytes {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(Ok(report))
    }
}

async fn last_line(
    read: &mut (impl AsyncBufRead + Unpin),
    progress: &mut impl FnMut(Progress),
) -> Result<Result<Answer, Refusal>, ControlError> {
    let mut line = String::new();
    loop {
        line.clear();
        if read.read_line(&mut line).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        match serde_json::from_str(&line)? {
            Line::Progress(moved) => progress(moved),
            Line::Answer(answer) => return Ok(Ok(answer)),
            Line::Refusal(refusal) => return Ok(Err(refusal)),
        }
    }
}
