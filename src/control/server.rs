//! The daemon's end of the socket. It holds no rules: [`Answerer`] does.

use std::fmt;
use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufReader, Take};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::peer::Door;
use super::{Answer, COPY_BYTES, ControlError, Line, Progress, Question, Refusal};

/// Questions at once; more wait in the socket's queue.
const MOST_QUESTIONS: usize = 32;
/// A question without its file is short.
const LONGEST_QUESTION: u64 = 64 * 1024;
/// Progress that a slow client has not read yet; more is left out.
const PROGRESS_CAPACITY: usize = 256;

/// The file of a question.
pub enum Body<'a> {
    /// Its bytes follow the question.
    Stream(&'a mut (dyn tokio::io::AsyncRead + Unpin + Send)),
    /// It lies where the answerer can read it itself.
    File(&'a Path),
}

impl fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stream(_) => "Stream",
            Self::File(_) => "File",
        })
    }
}

/// A pending answer.
pub type Pending<'a> = Pin<Box<dyn Future<Output = Result<Answer, Refusal>> + Send + 'a>>;

/// Who knows the answers.
pub trait Answerer: Send + Sync + 'static {
    /// Answers a question of `actor`, with the bytes that follow it. `progress` may be sent to at any time.
    fn answer<'a>(
        &'a self,
        question: Question,
        actor: String,
        body: Body<'a>,
        progress: mpsc::Sender<Progress>,
    ) -> Pending<'a>;
}

/// The bound socket. Dropping it removes the socket file.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    door: Door,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            debug!(%error, "the socket file was gone already");
        }
    }
}

impl Server {
    /// Binds the socket, readable and writable for the service's user and group only. A socket file that nobody listens at is
    /// a crash's leftover and replaced.
    ///
    /// # Errors
    /// [`ControlError::Taken`] when somebody listens there.
    pub async fn bind(path: &Path) -> Result<Self, ControlError> {
        if UnixStream::connect(path).await.is_ok() {
            return Err(ControlError::Taken { path: path.to_owned() });
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
        let door = Door::of(&std::fs::metadata(path)?);
        Ok(Self { listener, path: path.to_owned(), door })
    }

    /// Answers until `stop`; questions under way are answered first.
    pub async fn serve(self, answerer: Arc<dyn Answerer>, stop: CancellationToken) {
        let permits = Arc::new(Semaphore::new(MOST_QUESTIONS));
        let mut talks = JoinSet::new();
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { break };
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            while talks.try_join_next().is_some() {}
            match accepted {
                Ok((stream, _)) => {
                    let (answerer, stop, door) = (Arc::clone(&answerer), stop.clone(), self.door);
                    talks.spawn(async move {
                        // A client that stays connected must not keep the daemon from stopping.
                        tokio::select! {
                            biased;
                            talked = talk(stream, door, answerer) => {
                                if let Err(error) = talked {
                                    debug!(%error, "a question was not answered");
                                }
                            }
                            () = stop.cancelled() => {}
                        }
                        drop(permit);
                    });
                }
                Err(error) => warn!(%error, "a connection was not accepted"),
            }
        }
        while talks.join_next().await.is_some() {}
    }
}

async fn talk(stream: UnixStream, door: Door, answerer: Arc<dyn Answerer>) -> Result<(), ControlError> {
    let peer = stream.peer_cred()?;
    let actor = crate::sync::answers::user_name(peer.uid());
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read.take(LONGEST_QUESTION));
    let mut line = String::new();
    read.read_line(&mut line).await?;
    // After the question is read: a client that still writes would see a broken pipe instead of the reason.
    if !door.lets_in(peer.uid(), peer.gid()) {
        warn!(uid = peer.uid(), "a question of somebody without the right to ask was refused");
        return send(&mut write, &Line::Refusal(Door::refusal(&actor))).await;
    }
    let question: Question = serde_json::from_str(&line)?;
    open_for_body(&mut read, &question);
    let (sender, mut moved) = mpsc::channel(PROGRESS_CAPACITY);
    let mut answering = answerer.answer(question, actor, Body::Stream(&mut read), sender);
    let answer = loop {
        tokio::select! {
            biased;
            Some(progress) = moved.recv() => send(&mut write, &Line::Progress(progress)).await?,
            answer = &mut answering => break answer,
        }
    };
    let spooled = match &answer {
        Ok(Answer::BackedUp { file, .. }) => file.0.clone(),
        Ok(_) | Err(_) => None,
    };
    let last = match answer {
        Ok(answer) => Line::Answer(answer),
        Err(refusal) => Line::Refusal(refusal),
    };
    send(&mut write, &last).await?;
    if let Some(file) = spooled {
        let mut file = tokio::fs::File::from_std(file.try_clone()?);
        file.rewind().await?;
        tokio::io::copy_buf(&mut BufReader::with_capacity(COPY_BYTES, file), &mut write).await?;
    }
    Ok(())
}

/// Lets exactly the announced bytes through, whatever part of them the buffer holds already.
fn open_for_body(read: &mut BufReader<Take<OwnedReadHalf>>, question: &Question) {
    let buffered = read.buffer().len() as u64;
    read.get_mut().set_limit(question.body_size().saturating_sub(buffered));
}

async fn send(write: &mut OwnedWriteHalf, line: &Line) -> Result<(), ControlError> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    write.write_all(&bytes).await?;
    Ok(())
}
