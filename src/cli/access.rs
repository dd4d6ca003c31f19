//! How a command reaches the state: through the running daemon, else by opening it itself.

use std::path::Path;
use std::sync::Arc;

use tokio::io::AsyncRead;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api::MemberSync;
use crate::api::http::HttpApi;
use crate::clock::Clock;
use crate::config::{Config, Mode, NO_KEY, Source};
use crate::control::client::Client;
use crate::control::server::{Answerer, Body};
use crate::control::{Answer, ControlError, Export, Progress, Question, Refusal};
use crate::deliver::{Deliverer, Settings};
use crate::store::{Store, StoreError};
use crate::sync::answers::{plan_answer, user_name};
use crate::sync::examine::{self, ExamineError, Surveyed};
use crate::sync::{Desk, choose_source, trust};

use super::{Ending, Failure};

/// Progress that is not shown yet; more is left out.
const PROGRESS_CAPACITY: usize = 256;

/// Asks the daemon, or answers from the state itself when no daemon runs.
///
/// # Errors
/// [`Failure`] when neither is possible, or the answer is a refusal.
pub async fn ask(
    config: &Arc<Config>,
    question: Question,
    file: Option<&Path>,
    mut progress: impl FnMut(Progress),
) -> Result<Answer, Failure> {
    match Client::connect(&config.control_socket).await {
        Ok(client) => {
            let mut opened = match file {
                Some(path) => Some(tokio::fs::File::open(path).await?),
                None => None,
            };
            let body = opened.as_mut().map(|file| file as &mut (dyn AsyncRead + Unpin + Send));
            let asked = client.ask(&question, body, &mut progress).await;
            Ok(asked.map_err(|error| Failure::new(Ending::Unavailable, error.to_string()))??)
        }
        Err(ControlError::NoDaemon { .. }) => {
            answer_alone(config, question, file.unwrap_or(Path::new("")), progress).await
        }
        Err(error) => Err(Failure::new(Ending::Unavailable, error.to_string())),
    }
}

/// Whether a question leads to a request to the API.
fn needs_key(question: &Question, mode: Mode) -> bool {
    match question {
        Question::Status
        | Question::History(_)
        | Question::Show { .. }
        | Question::Plan(_)
        | Question::Discard { .. }
        | Question::Member { .. }
        | Question::Roster { .. }
        | Question::Verify
        | Question::BackUp => false,
        Question::Sync(_) | Question::Approve { .. } | Question::Retry { .. } | Question::Revert { .. } => {
            mode == Mode::Apply
        }
        Question::Groups | Question::Group { .. } | Question::CreateGroup { .. } | Question::UpdateGroup { .. } => true,
    }
}

async fn answer_alone(
    config: &Arc<Config>,
    question: Question,
    file: &Path,
    mut progress: impl FnMut(Progress),
) -> Result<Answer, Failure> {
    if config.api.key.is_none() && needs_key(&question, config.mode) {
        return Err(Failure::new(Ending::Config, NO_KEY));
    }
    let begun = begin_reading(config, &question, file)?;
    let clock = Clock::system();
    let api = HttpApi::new(&config.api, clock.clone());
    let api = api.map_err(|error| Failure::new(Ending::Config, error.to_string()))?;
    let api: Arc<dyn MemberSync> = Arc::new(api);
    let (store, temporary) = open(config, &question)?;
    let config = temporary.as_ref().map_or_else(|| Arc::clone(config), |folder| with_state_in(config, folder.path()));
    {
        // Before anything is sent: what is on record must be what was done last.
        let (config, now) = (Arc::clone(&config), clock.now());
        let looked = store.call(move |store| trust::look(store, &config, now)).await;
        looked.map_err(|error| store_failure(&error))?;
    }
    let settings = Settings { poll: config.poll, max_in_flight: config.api.max_in_flight };
    if begun.is_some() {
        // A plan is not recorded, and what a doubt writes is on the disk before it goes on. To close the state would be to wait for the disk
        // once more, so it is left open when the process ends.
        std::mem::forget(store.clone());
    }
    let deliverer = Deliverer::new(store.clone(), Arc::clone(&api), clock.clone(), settings);
    let desk = Desk::new(Arc::clone(&config), store, api, clock, Arc::clone(&deliverer));

    if let Some(begun) = begun {
        return begun.plan(&desk, file).await;
    }
    let stop = CancellationToken::new();
    let (sender, mut moved) = mpsc::channel(PROGRESS_CAPACITY);
    let is_delivering = config.mode == Mode::Apply && delivers(&question);
    let delivery = {
        let stop = stop.clone();
        async move {
            if is_delivering {
                deliverer.run(stop).await
            } else {
                stop.cancelled().await;
                Ok(())
            }
        }
    };
    let actor = user_name(rustix::process::getuid().as_raw());
    let answering = async {
        let mut answering = desk.answer(question, actor, Body::File(file), sender);
        let answer = loop {
            tokio::select! {
                biased;
                Some(moved) = moved.recv() => progress(moved),
                answer = &mut answering => break answer,
            }
        };
        stop.cancel();
        answer
    };
    tokio::pin!(delivery, answering);
    let answer = tokio::select! {
        answer = &mut answering => answer,
        // Nothing more is delivered, so there is no answer to wait for.
        Err(error) = &mut delivery => return Err(Refusal::from(error).into()),
    };
    delivery.await.map_err(Refusal::from)?;
    Ok(answer?)
}

/// Whether the answer waits for batches.
fn delivers(question: &Question) -> bool {
    matches!(question, Question::Sync(_) | Question::Approve { .. } | Question::Retry { .. } | Question::Revert { .. })
}

/// Reading an export that was begun while the state is opened: either takes about as long.
struct Begun {
    export: Export,
    source: Source,
    survey: JoinSet<Result<Surveyed, ExamineError>>,
}

fn begin_reading(config: &Config, question: &Question, file: &Path) -> Result<Option<Begun>, Failure> {
    let Question::Plan(export) = question else { return Ok(None) };
    let source = choose_source(config, export.source.as_ref())?.clone();
    let (path, read_as) = (file.to_owned(), source.clone());
    let mut survey = JoinSet::new();
    survey.spawn(async move { examine::survey(&path, &read_as).await });
    Ok(Some(Begun { export: export.clone(), source, survey }))
}

impl Begun {
    async fn plan(mut self, desk: &Desk, file: &Path) -> Result<Answer, Failure> {
        let survey = async {
            match self.survey.join_next().await {
                Some(Ok(read)) => read,
                Some(Err(_)) | None => Err(ExamineError::Read(std::io::Error::other("reading ended abnormally"))),
            }
        };
        let planned = desk.plan_surveyed(&self.source, (file, &self.export), survey).await;
        Ok(plan_answer(planned.map_err(Refusal::from)?)?)
    }
}

/// Opens the state. A plan before anything was ever synced needs no state, and must not make one.
fn open(config: &Config, question: &Question) -> Result<(Store, Option<tempfile::TempDir>), Failure> {
    let is_plan = matches!(question, Question::Plan(_));
    let temporary = if is_plan && !config.state_dir.exists() { Some(tempfile::tempdir()?) } else { None };
    let folder = temporary.as_ref().map_or(config.state_dir.as_path(), |folder| folder.path());
    let store = Store::open(folder, &config.api.base_url).map_err(|error| store_failure(&error))?;
    Ok((store, temporary))
}

fn with_state_in(config: &Config, folder: &Path) -> Arc<Config> {
    Arc::new(Config { state_dir: folder.to_owned(), ..config.clone() })
}

/// What a store that cannot be opened means to the person who typed the command.
pub(super) fn store_failure(error: &StoreError) -> Failure {
    if error.is_in_use() {
        let text = format!("{error}: a daemon has the state open, and its socket is not where the config says");
        return Failure::new(Ending::Unavailable, text);
    }
    Failure::new(Ending::Store, error.to_string())
}
