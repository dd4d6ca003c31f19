//! A command that waits until a run is delivered, or until waiting makes no sense.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc};

use crate::control::{Answer, Progress, Refusal, RefusalKind};
use crate::deliver::News;
use crate::report::{Phase, Run, RunState};
use crate::roster::ids::{GroupRef, RunId};
use crate::store::StoreError;

use super::Desk;

/// A command stops waiting for the API after so long without any progress; delivery goes on without it.
const PATIENCE: Duration = Duration::from_secs(120);

impl Desk {
    /// Waits until a run has ended, or until waiting makes no sense.
    pub(super) async fn wait(
        &self,
        run: Run,
        mut news: broadcast::Receiver<News>,
        progress: mpsc::Sender<Progress>,
    ) -> Result<Answer, Refusal> {
        if run.state == RunState::Delivering {
            tell(&progress, Progress::Planned { run: run.run.clone(), batches: run.batches.len() });
            // Thousands of batches go through a handful of phases each: the state is asked when the answer may have changed, and once for
            // all that came meanwhile.
            let mut asks = Asks { has_ended: true, stands_still: true };
            while !asks.has_ended || !self.has_ended(&run.run).await? {
                if self.deliverer.is_key_refused() {
                    return Err(left_waiting(&run, "the API does not accept the key", RefusalKind::Unavailable));
                }
                if asks.stands_still
                    && let Some(refusal) = self.standstill(&run.run).await?
                {
                    return Err(refusal);
                }
                asks = Asks::next(&run.run, &mut news, &progress)
                    .await
                    .ok_or_else(|| left_waiting(&run, "no progress for two minutes", RefusalKind::TryLater))?;
            }
            self.rewrite_receipt(&run.run).await;
        }
        self.run_detail(&run.run).await.map(|detail| Answer::Run(Box::new(detail)))
    }

    /// Why nothing of a run moves until a person decides: all that is left of it belongs to paused groups.
    async fn standstill(&self, run: &RunId) -> Result<Option<Refusal>, StoreError> {
        let id = run.clone();
        let paused = self.store.call(move |store| {
            let mut paused = Vec::new();
            for batch in store.undelivered(&id) {
                let batch = batch?;
                // A batch that waits for people to leave a paused group stands as still as that group.
                let awaited = batch.moves_in.iter().filter(|_| batch.phase == Phase::Pending).map(|one| &one.from);
                let groups: BTreeSet<&GroupRef> = awaited.chain([&batch.group]).collect();
                let mut found = None;
                for group in groups {
                    let why = store.group(group)?.and_then(|record| record.paused);
                    found = found.or(why.map(|why| (group.clone(), why)));
                }
                match found {
                    Some(found) => paused.push(found),
                    None => return Ok(None),
                }
            }
            Ok(paused.pop())
        });
        Ok(paused.await?.map(|(group, why)| Refusal {
            kind: RefusalKind::Paused,
            message: format!(
                "{group} is paused: {why}. Run {run} is recorded and waits; `rosterd retry {group}` ends the pause and \
                 submits it"
            ),
        }))
    }

    async fn has_ended(&self, run: &RunId) -> Result<bool, StoreError> {
        let id = run.clone();
        let record = self.store.call(move |store| store.bare_run(&id)).await?;
        Ok(record.is_none_or(|record| record.run.state != RunState::Delivering))
    }
}

/// What of a run may have changed, so that the state has to be asked.
#[derive(Default)]
struct Asks {
    has_ended: bool,
    stands_still: bool,
}

impl Asks {
    /// Of all news that have come, at least one; none where there was none for too long.
    async fn next(
        run: &RunId,
        news: &mut broadcast::Receiver<News>,
        progress: &mpsc::Sender<Progress>,
    ) -> Option<Self> {
        let mut asks = Self::default();
        match tokio::time::timeout(PATIENCE, news.recv()).await.ok()? {
            Ok(first) => asks.hear(run, Some(first), progress),
            Err(RecvError::Lagged(_)) => asks.hear(run, None, progress),
            Err(RecvError::Closed) => return None,
        }
        loop {
            match news.try_recv() {
                Ok(next) => asks.hear(run, Some(next), progress),
                Err(TryRecvError::Lagged(_)) => asks.hear(run, None, progress),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return Some(asks),
            }
        }
    }

    /// Passes news on to whoever waits for the run; none that were missed, which may have been any.
    fn hear(&mut self, run: &RunId, news: Option<News>, progress: &mpsc::Sender<Progress>) {
        let (has_ended, stands_still) = match news {
            Some(News::Phase(group, phase)) => {
                tell(progress, Progress::Phase { group, phase });
                (false, phase.is_final())
            }
            Some(News::Trouble(group, message, _)) => {
                tell(progress, Progress::Trouble { group, message });
                (false, true)
            }
            Some(News::RunEnded(ended)) => (ended == *run, false),
            Some(News::KeyRefused) | None => (true, true),
        };
        self.has_ended |= has_ended;
        self.stands_still |= stands_still;
    }
}

fn left_waiting(run: &Run, why: &str, kind: RefusalKind) -> Refusal {
    Refusal {
        kind,
        message: format!(
            "{why}. Run {} is recorded and nothing is lost: delivery goes on while `rosterd run` is up, \
             `rosterd status` shows how far it is",
            run.run
        ),
    }
}

/// Progress is a courtesy: who does not read it in time misses some.
fn tell(progress: &mpsc::Sender<Progress>, moved: Progress) {
    drop(progress.try_send(moved));
}
