//! Groups: what the API has beside what we hold, making and renaming them, and submitting one again.

use std::collections::BTreeMap;

use tokio::sync::mpsc;
use tracing::info;

use crate::api::{ApiError, Group};
use crate::control::{Answer, Progress, Refusal};
use crate::report::{Batch, Counts, GroupStatus, GuardVerdict, Run, RunState, Trigger};
use crate::roster::ids::{GroupId, GroupRef, SourceName};
use crate::store::{GroupRecord, RunRecord, Store, StoreError, Work};

use super::{Desk, Job, Turn};

impl Desk {
    /// All groups: those of the API, and those that only we know.
    pub(super) async fn groups(&self) -> Result<Answer, Refusal> {
        let there = self.api.groups().await?;
        let groups = self
            .store
            .call(move |store| {
                let mut records: BTreeMap<GroupRef, GroupRecord> =
                    store.groups()?.into_iter().map(|record| (record.group.clone(), record)).collect();
                let mut statuses = Vec::new();
                for found in there {
                    let record = found.external_reference_id.as_ref().and_then(|group| records.remove(group));
                    statuses.push(status(store, Some(&found), record.as_ref(), Some(true))?);
                }
                for record in records.values() {
                    statuses.push(status(store, None, Some(record), Some(false))?);
                }
                statuses.sort_by(|a, b| a.group.cmp(&b.group));
                Ok(statuses)
            })
            .await?;
        Ok(Answer::Groups(groups))
    }

    /// One group, read afresh.
    pub(super) async fn group(&self, group: &str) -> Result<Answer, Refusal> {
        let (record, found) = self.find(group).await?;
        let status =
            self.store.call(move |store| status(store, found.as_ref(), record.as_ref(), Some(found.is_some()))).await?;
        Ok(Answer::Groups(vec![status]))
    }

    pub(super) async fn create_group(&self, group: GroupRef, name: String) -> Result<Answer, Refusal> {
        let there = self.api.groups().await?;
        if there.iter().any(|found| found.external_reference_id.as_ref() == Some(&group)) {
            return Err(Refusal::usage(format!("the API has a group {group} already")));
        }
        // The intent first: should the answer be lost, the group is known to be ours when it is found.
        let intent = GroupRecord { group: group.clone(), id: None, name: name.clone(), made_by_us: true, paused: None };
        let record = intent.clone();
        self.store.call(move |store| store.put_group(&record)).await?;
        let made = match self.api.create_group(&group, &name).await {
            Ok(made) => made,
            Err(error) => {
                // Refused for certain: should the group turn up, somebody else made it.
                if matches!(error, ApiError::Refused { .. } | ApiError::Conflict) {
                    let refused = group.clone();
                    self.store
                        .call(move |store| store.update_group(&refused, |record| record.made_by_us = false))
                        .await?;
                }
                return Err(error.into());
            }
        };
        info!(group = %group, "group made");
        let record = GroupRecord { id: Some(made.id), name: made.name, ..intent };
        self.store.call(move |store| store.put_group(&record)).await?;
        self.group(group.as_str()).await
    }

    pub(super) async fn update_group(
        &self,
        group: &str,
        name: Option<String>,
        reference: Option<GroupRef>,
    ) -> Result<Answer, Refusal> {
        let (record, found) = self.find(group).await?;
        let found = found.ok_or_else(|| Refusal::usage(format!("the API has no group {group}")))?;
        if name.is_none() && reference.is_none() {
            return Err(Refusal::usage("say what changes: --name or --external-reference-id"));
        }
        if let (Some(record), Some(reference)) = (&record, &reference) {
            let (from, to) = (record.group.clone(), reference.clone());
            let is_busy = self.store.call(move |store| Ok(store.work(&from)?.is_some())).await?;
            if is_busy {
                return Err(Refusal::usage(format!("{} has a batch under way: wait for its end", record.group)));
            }
            let taken = self.store.call(move |store| Ok(store.roster(&to)?.is_some())).await?;
            if taken {
                return Err(Refusal::usage(format!("{reference} is another group of ours")));
            }
        }
        let updated = self.api.update_group(&found.id, name.as_deref(), reference.as_ref()).await?;
        let now_known = updated.external_reference_id.clone().or(reference);
        if let (Some(record), Some(to)) = (record, now_known.clone()) {
            let updated = GroupRecord { group: to, name: updated.name, ..record.clone() };
            self.store.call(move |store| store.rename_group(&record.group, &updated)).await?;
        }
        let shown = now_known.map_or_else(|| found.id.to_string(), |group| group.to_string());
        self.group(&shown).await
    }

    /// Submits the group's desired roster again: what is queued; else what the last accepted export of its source leads to; else, when
    /// that changes nothing, what is confirmed.
    pub(super) async fn retry(
        &self,
        group: &str,
        actor: String,
        progress: mpsc::Sender<Progress>,
    ) -> Result<Answer, Refusal> {
        let (record, _) = self.find(group).await?;
        let record = record.ok_or_else(|| Refusal::usage(format!("nothing was ever synced to {group}")))?;
        let news = self.deliverer.news();
        // Not while a plan is made: it counts on the work that it was made against.
        let turn = self.turn.lock().await;
        self.refuse_if_overtaken(&record.group).await?;
        let released = record.group.clone();
        let queued = self.store.call(move |store| release(store, &released)).await?;
        let run = match queued {
            Some(run) => run,
            None => self.submit_anew(record, actor, &turn).await?,
        };
        drop(turn);
        self.deliverer.nudge();
        self.wait(run, news, progress).await
    }

    /// Nothing of the group is queued: its source's last accepted export is passed over again.
    async fn submit_anew(&self, record: GroupRecord, actor: String, turn: &Turn<'_>) -> Result<Run, Refusal> {
        if let Some(job) = self.last_export_of(&record.group, &actor).await? {
            let run = self.pass_in_turn(job, turn).await?;
            let group = record.group.clone();
            let is_under_way = self.store.call(move |store| Ok(store.work(&group)?.is_some())).await?;
            let is_held = run.guards.iter().any(|guard| guard.verdict == GuardVerdict::Hold);
            if is_under_way || is_held {
                return Ok(run);
            }
        }
        self.refuse_if_doubtful(&record.group).await?;
        let (group, now) = (record.group.clone(), self.clock.now());
        let run = self.store.call(move |store| submit_confirmed(store, &record, actor, now)).await?;
        run.ok_or_else(|| Refusal::usage(format!("nothing was ever confirmed for {group}: drop its export again")))
    }

    /// What waits may be older than what the API has.
    async fn refuse_if_overtaken(&self, group: &GroupRef) -> Result<(), Refusal> {
        let id = group.clone();
        if self.store.call(move |store| store.is_overtaken(&id)).await? {
            return Err(in_doubt(group));
        }
        Ok(())
    }

    /// A record in doubt is no roster to submit.
    pub(super) async fn refuse_if_doubtful(&self, group: &GroupRef) -> Result<(), Refusal> {
        let id = group.clone();
        if self.store.call(move |store| store.is_doubtful(&id)).await? {
            return Err(in_doubt(group));
        }
        Ok(())
    }

    /// The last accepted export of the source that the group's last batch came from, to be passed over again.
    async fn last_export_of(&self, group: &GroupRef, actor: &str) -> Result<Option<Job>, Refusal> {
        let group = group.clone();
        let source = self.store.call(move |store| {
            let Some(batch) = store.last_batch(&group)? else { return Ok(None) };
            Ok(store.bare_run(&batch.run)?.map(|record| record.run.source))
        });
        let Some(source) = source.await? else { return Ok(None) };
        let Some(Ok(last)) = self.last_export(&source).await? else { return Ok(None) };
        // To pass over the export again would undo what a person undid.
        let (of, accepted) = (source.clone(), last.accepted.run.clone());
        if self.store.call(move |store| super::revert::reverted_since(store, &of, &accepted)).await?.is_some() {
            return Ok(None);
        }
        let job = self.copy_of(&source, &last).await?;
        Ok(Some(Job { actor: Some(actor.to_owned()), ..job }))
    }

    /// The group that a person means, by reference or id: our record of it, and the API's.
    async fn find(&self, group: &str) -> Result<(Option<GroupRecord>, Option<Group>), Refusal> {
        let records = self.store.call(Store::groups).await?;
        let is_meant = |reference: Option<&GroupRef>, id: Option<&GroupId>| {
            reference.is_some_and(|reference| reference.as_str() == group) || id.is_some_and(|id| id.as_str() == group)
        };
        let record = records.into_iter().find(|record| is_meant(Some(&record.group), record.id.as_ref()));
        let found = if let Some(id) = record.as_ref().and_then(|record| record.id.as_ref()) {
            Some(self.api.group(id).await?)
        } else {
            let mut there = self.api.groups().await?.into_iter();
            there.find(|found| is_meant(found.external_reference_id.as_ref(), Some(&found.id)))
        };
        if record.is_none() && found.is_none() {
            return Err(Refusal::usage(format!("no group {group}, here or in the API; `rosterd groups` lists them")));
        }
        Ok((record, found))
    }
}

fn in_doubt(group: &GroupRef) -> Refusal {
    Refusal::usage(format!(
        "the record of {group} is in doubt, and what it has may be older than what the API has: drop a current export, look \
         at what is held, and approve it (`rosterd status` says more)"
    ))
}

/// Releases a group and sets going what waits for it. Answers the run of that; none when nothing waits.
fn release(store: &Store, group: &GroupRef) -> Result<Option<Run>, StoreError> {
    store.update_group(group, |record| record.paused = None)?;
    match store.hasten(group)? {
        Some(batch) => Ok(store.bare_run(&batch.run)?.map(|record| record.run)),
        None => Ok(None),
    }
}

/// Puts the confirmed roster into a batch of its own; none when nothing was ever confirmed, or nobody is left.
fn submit_confirmed(
    store: &Store,
    record: &GroupRecord,
    actor: String,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<Option<Run>, StoreError> {
    let Some(roster) = store.roster(&record.group)? else { return Ok(None) };
    let payload = roster.members().to_vec();
    let Some(source) = payload.first().map(|entry| entry.origin.source.clone()) else { return Ok(None) };
    let id = store.ids().run(now);
    // Removing nobody is the point: the same roster again.
    let batch = Batch::pending(store.ids().batch(now), id.clone(), record.group.clone(), payload.len(), Some(0));
    let run = Run {
        run: id,
        source: source.clone(),
        trigger: Trigger::Manual,
        file: None,
        received_at: now,
        finished_at: None,
        state: RunState::Delivering,
        guards: Vec::new(),
        counts: Counts { unchanged: payload.len() as u64, ..Counts::default() },
        batches: vec![batch.batch.clone()],
        reason: Some(format!("retry of {}", record.group)),
        actor: Some(actor),
        approves: None,
        repeats: None,
        reverts: None,
    };
    let state = source_state(store, &source)?;
    let record = RunRecord { run: run.clone(), plan: None, filed_as: None };
    store.accept(&record, vec![Work { batch, payload }], &state)?;
    Ok(Some(run))
}

fn source_state(store: &Store, source: &SourceName) -> Result<crate::store::SourceState, StoreError> {
    Ok(store.source(source)?.unwrap_or_else(|| crate::store::SourceState::new(source.clone())))
}

fn status(
    store: &Store,
    found: Option<&Group>,
    record: Option<&GroupRecord>,
    in_api: Option<bool>,
) -> Result<GroupStatus, StoreError> {
    let group = record.map(|record| &record.group).or(found.and_then(|found| found.external_reference_id.as_ref()));
    let roster = group.map_or(Ok(None), |group| store.roster_facts(group))?;
    let last_batch = group.map_or(Ok(None), |group| store.last_batch(group))?;
    let name = found.map(|found| &found.name).or(record.map(|record| &record.name));
    Ok(GroupStatus {
        group: group.cloned(),
        group_id: found.map(|found| found.id.clone()).or_else(|| record.and_then(|record| record.id.clone())),
        name: name.cloned().unwrap_or_default(),
        in_api,
        made_by_us: record.is_some_and(|record| record.made_by_us),
        members: roster.map(|roster| roster.members),
        confirmed_at: roster.map(|roster| roster.confirmed_at),
        last_batch: last_batch.map(|batch| batch.batch),
        paused: record.and_then(|record| record.paused.clone()),
    })
}
