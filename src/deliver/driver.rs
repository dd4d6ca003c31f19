//! Performs what the phase machine says for one group: the only place where store and API meet.
//!
//! Invariants: one open batch a group; `submitting` is on disk before the request leaves; the request id is on disk before
//! anything else happens; the confirmed roster changes only together with the recorded results. A stop never cuts the stretch
//! between a request and its recorded answer.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::{SemaphorePermit, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::api::{ApiError, Group, Progress, Results};
use crate::report::{Batch, Failure, Phase, Trigger};
use crate::roster::Entry;
use crate::roster::ids::{GroupId, GroupRef};
use crate::store::{GroupRecord, Settlement, StoreError, Work};

use super::arrivals::{self, Prepared};
use super::moves::MOVE;
use super::outage::Turn;
use super::outcome::outcome;
use super::phase::{self, Circumstances, Effect, Event};
use super::{Deliverer, News, pace};

/// A store that fails is tried again after this pause; not one on a full disk, which fails until it is opened again.
const STORE_PAUSE: Duration = Duration::from_secs(30);

/// A batch that was superseded on its way out is left for the newer one, after a pause that keeps a mistake from spinning.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A place among the groups under way.
struct Place<'a> {
    _permit: SemaphorePermit<'a>,
    _unhurried: Option<SemaphorePermit<'a>>,
}

/// How carrying a batch ended.
enum Carried {
    /// The batch is final; the group's next one may go.
    Ended,
    /// The same, and the next one adds people whom nobody covers.
    EndedUrgently,
    /// People have to leave another group first.
    Waits,
    /// Its next attempt is due later; the record says when.
    Later,
    /// The group is paused, or the task stops.
    Stopped,
}

/// Why a batch could not be carried further.
#[derive(Debug, thiserror::Error)]
enum CarryError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    OutOfOrder(#[from] phase::OutOfOrder),
}

/// Why a group has no id to submit to.
enum NoGroup {
    /// Ask again later.
    Api(ApiError),
    /// A person must decide.
    Decision(String),
}

impl Deliverer {
    /// Carries the group's batches, one after the other, until there are none.
    ///
    /// # Errors
    /// [`StoreError::Full`]; every other failure of the store is waited out.
    pub(super) async fn drive(&self, group: &GroupRef, stop: &CancellationToken) -> Result<(), StoreError> {
        // From before the record is read: what is released after that is not missed.
        let (mut released, mut settled) = (self.released.subscribe(), self.settled.subscribe());
        let mut is_urgent = false;
        while !stop.is_cancelled() {
            let Some(place) = self.place(group, is_urgent, &mut released).await else { return Ok(()) };
            // It may have been a long wait.
            if stop.is_cancelled() {
                break;
            }
            let carried = {
                // Not longer than to the end of this: whoever finds nothing to do yet must not keep the others from asking.
                let Some(turn) = self.turn(&mut released, stop).await else { break };
                released.mark_unchanged();
                settled.mark_unchanged();
                match self.current(group).await {
                    Ok(None) => return Ok(()),
                    Ok(Some(work)) if !self.left(&work.batch).is_zero() => Ok(Carried::Later),
                    Ok(Some(work)) => self.carry(work, turn, stop).await,
                    Err(error) => Err(error.into()),
                }
            };
            // Whoever waits for a later attempt leaves the place to another group.
            drop(place);
            is_urgent = matches!(carried, Ok(Carried::EndedUrgently | Carried::Waits));
            let go_on = match carried {
                Ok(Carried::Ended | Carried::EndedUrgently) => true,
                Ok(Carried::Waits) => self.wait_for_others(&mut settled, &mut released, stop).await,
                Ok(Carried::Later) => self.wait_for_attempt(group, &mut released, stop).await,
                Ok(Carried::Stopped) => false,
                Err(CarryError::Store(error)) if error.needs_restart() => return Err(error),
                Err(CarryError::Store(StoreError::OutOfOrder { detail, .. })) => {
                    info!(detail, "a newer roster came in between");
                    self.pause(LOOK_AGAIN, stop).await
                }
                Err(CarryError::Store(error)) => {
                    error!(%error, "delivery cannot be recorded, trying again");
                    self.pause(STORE_PAUSE, stop).await
                }
                Err(CarryError::OutOfOrder(error)) => {
                    error!(%error, "the batch is looked at again later");
                    self.pause(STORE_PAUSE, stop).await
                }
            };
            if !go_on {
                break;
            }
        }
        Ok(())
    }

    /// Waits for a place among the groups under way; none when there will be none any more. A roster that is submitted again
    /// against drift waits its turn among its like first: thousands of them must not keep a new export waiting. Should a newer
    /// roster take its place meanwhile, that one goes ahead.
    async fn place(&self, group: &GroupRef, is_urgent: bool, released: &mut watch::Receiver<u64>) -> Option<Place<'_>> {
        loop {
            if is_urgent || !self.is_unhurried(group).await {
                return Some(Place { _permit: self.permit(is_urgent).await?, _unhurried: None });
            }
            tokio::select! {
                biased;
                unhurried = self.unhurried.acquire() => {
                    let unhurried = unhurried.ok()?;
                    let permit = self.permit(false).await?;
                    return Some(Place { _permit: permit, _unhurried: Some(unhurried) });
                }
                changed = released.changed() => changed.ok()?,
            }
        }
    }

    /// Whether the group's next batch belongs to a resync. A store that cannot be read is met with where the batch is carried.
    async fn is_unhurried(&self, group: &GroupRef) -> bool {
        let (group, last) = (group.clone(), Arc::clone(&self.last_run));
        let looked = self.store.call(move |store| {
            let Some(batch) = store.open_batch(&group)? else { return Ok(false) };
            let known = last.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some((_, is_resync)) = known.filter(|(run, _)| *run == batch.run) {
                return Ok(is_resync);
            }
            let run = store.bare_run(&batch.run)?;
            let is_resync = run.is_some_and(|record| record.run.trigger == Trigger::Resync);
            *last.lock().unwrap_or_else(PoisonError::into_inner) = Some((batch.run, is_resync));
            Ok(is_resync)
        });
        looked.await.unwrap_or(false)
    }

    /// The group's open work; a newer roster takes the place of one that was not sent, or whose answer was lost.
    async fn current(&self, group: &GroupRef) -> Result<Option<Work>, StoreError> {
        let (id, now) = (group.clone(), self.clock.now());
        let (work, superseded) = self
            .store
            .call(move |store| {
                if store.is_overtaken(&id)? {
                    return Ok((None, None));
                }
                let Some(work) = store.work(&id)? else { return Ok((None, None)) };
                // `submitting` on record and no answer: the request may have left, and is superseded all the same.
                let is_replaceable = matches!(work.batch.phase, Phase::Pending | Phase::Submitting);
                let next = store.next_work(&id)?.map(|next| next.batch);
                // The second part of the same roster is no newer one.
                if !is_replaceable || next.is_none_or(|next| next.follows.as_ref() == Some(&work.batch.batch)) {
                    return Ok((Some(work), None));
                }
                let mut superseded = work.batch;
                superseded.phase = Phase::Superseded;
                superseded.completed_at = Some(now);
                Ok((store.replace_open(&superseded, None)?, Some(superseded)))
            })
            .await?;
        if let Some(batch) = superseded {
            info!(batch = %batch.batch, "superseded by a newer roster");
            self.end_run(&batch.run).await;
        }
        Ok(work)
    }

    /// Waits for the time of the next attempt, or until somebody releases something.
    async fn wait_for_attempt(
        &self,
        group: &GroupRef,
        released: &mut watch::Receiver<u64>,
        stop: &CancellationToken,
    ) -> bool {
        let id = group.clone();
        match self.store.call(move |store| store.open_batch(&id)).await {
            Ok(Some(batch)) => tokio::select! {
                came = self.pause(self.left(&batch), stop) => came,
                _ = released.changed() => !stop.is_cancelled(),
            },
            Ok(None) => true,
            Err(error) => {
                error!(%error, "cannot read the work under way");
                self.pause(STORE_PAUSE, stop).await
            }
        }
    }

    /// How long the batch still waits for its next attempt.
    fn left(&self, batch: &Batch) -> Duration {
        batch.not_before.map_or(Duration::ZERO, |then| pace::left(then, self.clock.now()))
    }

    /// Takes one batch from event to event until it is final, must wait for its next attempt, or the task stops.
    async fn carry(&self, work: Work, mut turn: Turn<'_>, stop: &CancellationToken) -> Result<Carried, CarryError> {
        let Work { mut batch, payload } = match self.prepare(work).await? {
            Prepared::Go(work) => work,
            Prepared::Waits => return Ok(Carried::Waits),
            Prepared::Nobody(mut batch) => {
                batch.phase = Phase::Refused;
                return self.refuse(batch, &[], "everybody whom it adds stays in another group".to_owned()).await;
            }
        };
        let payload = Arc::new(payload);
        let mut event = phase::resumed(&batch);
        let mut polls = 0;
        let mut is_alerted = false;
        loop {
            let before = batch.phase;
            let (phase, effect) = phase::step(&batch, event, self.circumstances(polls))?;
            batch.phase = phase;
            event = match effect {
                Effect::Submit => {
                    let _turn = turn.take();
                    let event = self.submit(&mut batch, &payload).await?;
                    self.heard(&batch.group, event)
                }
                Effect::PollAfter(pause) => {
                    // Nobody waits for an answer that is not asked for yet.
                    drop(turn.take());
                    if before != phase {
                        self.record(&batch).await?;
                    }
                    is_alerted = is_alerted || self.alert_if_late(&batch);
                    if !self.pause(pause, stop).await {
                        return Ok(Carried::Stopped);
                    }
                    polls += 1;
                    let Some(_turn) = self.turn(&mut self.released.subscribe(), stop).await else {
                        return Ok(Carried::Stopped);
                    };
                    let event = self.poll(&mut batch).await;
                    self.heard(&batch.group, event)
                }
                Effect::SubmitCurrentAfter(pause) => {
                    batch.not_before = Some(self.clock.now() + TimeDelta::from_std(pause).unwrap_or_default());
                    self.record(&batch).await?;
                    return Ok(Carried::Later);
                }
                Effect::Settle(results) => return self.settle(batch, &payload, results).await,
                Effect::Refuse(why) => return self.refuse(batch, &payload, why).await,
                Effect::Lose(why, pause) => return self.lose(batch, &payload, why, pause).await,
                Effect::Pause => {
                    self.record(&batch).await?;
                    return Ok(self.wait_for_key(stop).await);
                }
            };
        }
    }

    /// Waits until the group may ask: at once while the API is there; while it is out one group at a time, after a pause, or at
    /// once when a person releases something. `None` means stop.
    async fn turn(&self, released: &mut watch::Receiver<u64>, stop: &CancellationToken) -> Option<Turn<'_>> {
        let turn = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            turn = self.outage.turn() => turn,
        };
        if turn.is_some() {
            tokio::select! {
                came = self.pause(self.outage.left(), stop) => came.then_some(turn),
                _ = released.changed() => (!stop.is_cancelled()).then_some(turn),
            }
        } else {
            Some(turn)
        }
    }

    /// Remembers what a group's request came to, for all of them, and answers it.
    fn heard(&self, group: &GroupRef, event: Event) -> Event {
        match self.outage.heard(group, &event, fastrand::f64()) {
            (false, true) => warn!("the API is out: one group at a time asks whether it is back"),
            (true, false) => info!("the API is back"),
            (true, true) | (false, false) => {}
        }
        event
    }

    fn circumstances(&self, polls: u32) -> Circumstances {
        Circumstances { now: self.clock.now(), poll: self.settings.poll, polls, chance: fastrand::f64() }
    }

    /// Writes `submitting`, sends the roster, and says what came of it. Not to be cut: the caller never races it with `stop`.
    async fn submit(&self, batch: &mut Batch, payload: &Arc<Vec<Entry>>) -> Result<Event, StoreError> {
        batch.attempts = batch.attempts.saturating_add(1);
        batch.submitted_at = Some(self.clock.now());
        batch.not_before = None;
        let group = match self.group_id(&batch.group, batch.attempts).await? {
            Ok(group) => group,
            Err(NoGroup::Api(error)) => return Ok(self.submit_failed(batch, error)),
            Err(NoGroup::Decision(message)) => {
                return Ok(self.submit_failed(batch, ApiError::Refused { status: 404, message, trace_id: None }));
            }
        };
        batch.group_id = Some(group.clone());
        batch.error = None;
        {
            let _may_send = self.sends.read().await;
            self.record(batch).await?;
        }
        info!(batch = %batch.batch, run = %batch.run, members = batch.members, attempt = batch.attempts, "submitting");
        match self.api.submit(&group, Arc::clone(payload)).await {
            Ok(accepted) => {
                info!(batch = %batch.batch, request = %accepted.request_id, "accepted");
                batch.request_id = Some(accepted.request_id.clone());
                batch.accepted_at = Some(self.clock.now());
                Ok(Event::Accepted(accepted))
            }
            Err(error) => Ok(self.submit_failed(batch, error)),
        }
    }

    fn submit_failed(&self, batch: &mut Batch, error: ApiError) -> Event {
        warn!(batch = %batch.batch, attempt = batch.attempts, %error, "the roster was not accepted");
        batch.error = Some(error.to_string());
        self.tell(News::Trouble(batch.group.clone(), error.to_string(), self.clock.now()));
        Event::SubmitFailed(error)
    }

    async fn poll(&self, batch: &mut Batch) -> Event {
        let (Some(group), Some(request)) = (&batch.group_id, &batch.request_id) else {
            return Event::PollFailed(ApiError::NotFound);
        };
        match self.api.results(group, request).await {
            Ok(Progress::Under(odd)) => {
                if let Some(odd) = odd {
                    warn!(batch = %batch.batch, odd, "strange answer to a poll");
                    batch.error = Some(odd.to_owned());
                }
                Event::Waiting(odd)
            }
            Ok(Progress::Done(results)) => Event::Results(results),
            Err(error) => {
                warn!(batch = %batch.batch, %error, "the poll failed");
                batch.error = Some(error.to_string());
                Event::PollFailed(error)
            }
        }
    }

    fn alert_if_late(&self, batch: &Batch) -> bool {
        let age = batch.accepted_at.map(|accepted| (self.clock.now() - accepted).abs().to_std().unwrap_or_default());
        let is_late = age.is_some_and(|age| self.settings.poll.alert_after < age);
        if is_late {
            warn!(batch = %batch.batch, "results are late");
        }
        is_late
    }

    /// Records results and confirmed roster in one transaction.
    async fn settle(
        &self,
        mut batch: Batch,
        payload: &Arc<Vec<Entry>>,
        results: Results,
    ) -> Result<Carried, CarryError> {
        batch.completed_at = Some(self.clock.now());
        batch.added = results.added as u64;
        batch.removed = results.removed as u64;
        // Who stays where they were was known before.
        batch.failures.retain(|failure| failure.operation == MOVE);
        batch.failures.extend(results.failures.iter().map(failure));
        batch.error = None;
        let incident = incident(&batch);
        batch.error.clone_from(&incident);
        let (payload, now, mut ended) = (Arc::clone(payload), self.clock.now(), batch.clone());
        let settled = self.store.call(move |store| {
            let confirmed = store.roster(&ended.group)?;
            let outcome = outcome(&ended.group, confirmed.as_ref(), &payload, &results, now);
            arrivals::note_gaps(&mut ended, &outcome.roster);
            let successor = arrivals::again(&ended, &payload, Some(&outcome.roster), store.ids().batch(now));
            arrivals::warn_of_stranded(&ended, Some(&outcome.roster));
            let (roster, changes) = (Some(outcome.roster), outcome.changes);
            let next =
                store.settle_with(&Settlement { batch: ended.clone(), roster, changes, pause: incident }, successor)?;
            Ok((ended, next))
        });
        let (batch, next) = settled.await?;
        info!(
            batch = %batch.batch, run = %batch.run, added = batch.added, removed = batch.removed,
            failed = batch.failures.len(), "completed"
        );
        self.ended(&batch).await;
        match &batch.error {
            Some(incident) => {
                error!(batch = %batch.batch, incident, "the results differ from the plan, the group is paused");
                arrivals::warn_of_pause(&batch, next.as_ref());
                Ok(Carried::Stopped)
            }
            None => Ok(after(next.as_ref())),
        }
    }

    async fn refuse(&self, mut batch: Batch, payload: &[Entry], why: String) -> Result<Carried, CarryError> {
        error!(batch = %batch.batch, why, "the API refused the roster, it is not sent again unchanged");
        let now = self.clock.now();
        batch.completed_at = Some(now);
        batch.error = Some(why);
        let (refused, payload) = (batch.clone(), payload.to_vec());
        let next = self.store.call(move |store| {
            let confirmed = store.roster(&refused.group)?;
            let successor = arrivals::again(&refused, &payload, confirmed.as_ref(), store.ids().batch(now));
            arrivals::warn_of_stranded(&refused, confirmed.as_ref());
            store.replace_open(&refused, successor)
        });
        let next = next.await?;
        self.ended(&batch).await;
        Ok(after(next.as_ref()))
    }

    /// Ends the batch as lost. The group's current roster goes out in a batch of its own: a newer one if there is one.
    async fn lose(
        &self,
        mut batch: Batch,
        payload: &Arc<Vec<Entry>>,
        why: String,
        pause: Duration,
    ) -> Result<Carried, CarryError> {
        warn!(batch = %batch.batch, why, "the request is lost, the current roster is submitted again");
        let now = self.clock.now();
        batch.completed_at = Some(now);
        batch.error = Some(why);
        let (ended, payload) = (batch.clone(), Arc::clone(payload));
        let not_before = now + TimeDelta::from_std(pause).unwrap_or_default();
        self.store
            .call(move |store| {
                let successor = Work {
                    batch: Batch {
                        batch: store.ids().batch(now),
                        request_id: None,
                        phase: Phase::Pending,
                        submitted_at: None,
                        accepted_at: None,
                        completed_at: None,
                        not_before: Some(not_before),
                        error: None,
                        ..ended.clone()
                    },
                    payload: payload.to_vec(),
                };
                store.replace_open(&ended, Some(successor))
            })
            .await?;
        self.ended(&batch).await;
        Ok(Carried::Ended)
    }

    async fn wait_for_key(&self, stop: &CancellationToken) -> Carried {
        if !self.key_refused.send_replace(true) {
            error!("the API does not accept the key, all delivery pauses");
            self.tell(News::KeyRefused);
            self.nudge();
        }
        let mut key_refused = self.key_refused.subscribe();
        tokio::select! {
            biased;
            () = stop.cancelled() => Carried::Stopped,
            _ = key_refused.wait_for(|is_refused| !is_refused) => Carried::Later,
        }
    }

    async fn record(&self, batch: &Batch) -> Result<(), StoreError> {
        let record = batch.clone();
        self.store.call(move |store| store.record_batch(&record)).await?;
        self.tell(News::Phase(batch.group.clone(), batch.phase));
        Ok(())
    }

    async fn ended(&self, batch: &Batch) {
        self.tell(News::Phase(batch.group.clone(), batch.phase));
        self.settled.send_modify(|count| *count = count.wrapping_add(1));
        self.end_run(&batch.run).await;
    }

    /// The API's id of a group; makes the group when the plan said so.
    async fn group_id(&self, group: &GroupRef, attempt: u32) -> Result<Result<GroupId, NoGroup>, StoreError> {
        let id = group.clone();
        let Some(record) = self.store.call(move |store| store.group(&id)).await? else {
            return Ok(Err(NoGroup::Decision(format!("nothing is known of the group {group}: sync its export again"))));
        };
        if let Some(id) = record.id {
            return Ok(Ok(id));
        }
        match self.find_or_make(&record, attempt).await? {
            Ok(found) => {
                if let Some(decision) = self.other_organization(&found).await? {
                    return Ok(Err(decision));
                }
                let (id, group) = (found.id.clone(), record.group);
                let learned = move |record: &mut GroupRecord| {
                    record.id = Some(found.id);
                    record.name = found.name;
                };
                self.store.call(move |store| store.update_group(&group, learned)).await?;
                Ok(Ok(id))
            }
            Err(no_group) => Ok(Err(no_group)),
        }
    }

    /// Makes the group. The intent is on disk before the request leaves: a group that is there although the answer was lost is ours
    /// then. One that is there without it is somebody else's, and nobody knows who is in it.
    ///
    /// The plan has just asked which groups there are, so a first attempt does not ask again: with thousands of groups to make that
    /// would be thousands of lists of thousands. A later attempt may come hours later, and asks.
    async fn find_or_make(&self, record: &GroupRecord, attempt: u32) -> Result<Result<Group, NoGroup>, StoreError> {
        let group = record.group.clone();
        if 1 < attempt || record.made_by_us {
            match self.find_group(&group).await {
                Ok(Some(found)) if record.made_by_us => return Ok(Ok(found)),
                Ok(Some(found)) => return self.leave_to_a_person(&group, found).await.map(Err),
                Ok(None) => {}
                Err(error) => return Ok(Err(NoGroup::Api(error))),
            }
        }
        self.intend(&group, true).await?;
        info!(group = %group, "making the group");
        let error = match self.api.create_group(&group, &record.name).await {
            Ok(made) => return Ok(Ok(made)),
            Err(error) => error,
        };
        let may_be_ours = record.made_by_us || matches!(error, ApiError::AnswerLost { .. });
        if !may_be_ours {
            self.intend(&group, false).await?;
        }
        match self.find_group(&group).await {
            Ok(Some(found)) if may_be_ours => Ok(Ok(found)),
            Ok(Some(found)) => self.leave_to_a_person(&group, found).await.map(Err),
            Ok(None) | Err(_) => Ok(Err(NoGroup::Api(error))),
        }
    }

    /// A group that was just made or found tells whom the key belongs to: nobody may be covered with another organization.
    async fn other_organization(&self, found: &Group) -> Result<Option<NoGroup>, StoreError> {
        let Some(organization) = found.organization_id.clone() else { return Ok(None) };
        match self.store.call(move |store| store.bind_organization(&organization)).await {
            Ok(()) => Ok(None),
            Err(error @ StoreError::OtherOrganization { .. }) => Ok(Some(NoGroup::Decision(error.to_string()))),
            Err(error) => Err(error),
        }
    }

    /// Records that we are about to make a group, or that we certainly did not.
    async fn intend(&self, group: &GroupRef, is_ours: bool) -> Result<(), StoreError> {
        let group = group.clone();
        self.store.call(move |store| store.update_group(&group, |record| record.made_by_us = is_ours)).await.map(drop)
    }

    /// Remembers that the group is not ours, so that the next plan holds it.
    async fn leave_to_a_person(&self, group: &GroupRef, found: Group) -> Result<NoGroup, StoreError> {
        let text = format!(
            "somebody made the group {group} before rosterd could, and its members are not known: `rosterd retry {group}` plans it \
             again and holds it for approval"
        );
        let group = group.clone();
        let learned = move |record: &mut GroupRecord| {
            record.id = Some(found.id);
            record.name = found.name;
            record.made_by_us = false;
        };
        self.store.call(move |store| store.update_group(&group, learned)).await?;
        Ok(NoGroup::Decision(text))
    }

    async fn find_group(&self, group: &GroupRef) -> Result<Option<Group>, ApiError> {
        let groups = self.api.groups().await?;
        Ok(groups.into_iter().find(|found| found.external_reference_id.as_ref() == Some(group)))
    }
}

/// What follows an end: people whom nobody covers wait for no other group's turn.
fn after(next: Option<&Work>) -> Carried {
    if next.is_some_and(|next| !next.batch.moves_in.is_empty()) { Carried::EndedUrgently } else { Carried::Ended }
}

fn failure(failure: &crate::api::MemberFailure) -> Failure {
    Failure {
        reference_id: failure.reference_id.clone(),
        operation: failure.operation.as_str().to_owned(),
        reason: failure.reason.clone(),
    }
}

/// What is alarming about results: people removed whom no plan removed.
fn incident(batch: &Batch) -> Option<String> {
    let planned = batch.planned_removals.unwrap_or_default();
    batch
        .has_unplanned_removals()
        .then(|| format!("the API removed {} members where the plan removes {planned}", batch.removed))
}
