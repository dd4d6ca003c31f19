//! What the public documents of the API leave open, one switch each. The default is the safe assumption.

use std::time::Duration;

use serde::Deserialize;

macro_rules! switch {
    (
        $(#[$about:meta])*
        $name:ident { $(#[$first_about:meta])* $first:ident $(, $(#[$other_about:meta])* $other:ident)* $(,)? }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $(#[$first_about])*
            #[default]
            $first
            $(, $(#[$other_about])* $other)*
        }
    };
}

switch! {
    /// What a second submit means while one of the group is in flight.
    InFlight {
        /// It waits for the first.
        QueueFifo,
        /// It is answered with 409.
        #[serde(rename = "conflict_409")]
        Conflict,
        /// The first is dropped: it completes at once, with nothing done.
        LastWins,
        /// Both run; the older one lands last, which is the worst end of the race.
        ParallelRace,
    }
}
switch! {
    /// What another `plan_id` means for a known member.
    PlanChange {
        /// Nothing.
        Ignored,
        /// The plan changes.
        Applied,
        /// A failure with operation `add`.
        FailureAdd,
    }
}
switch! {
    /// What an unknown `plan_id` means for a known member.
    BadPlanOnKnown {
        /// Nothing.
        Ignored,
        /// A failure with operation `add`.
        FailureAdd,
    }
}
switch! {
    /// What adding a person means who is active in another group of the organization.
    OtherGroup {
        /// The add fails.
        FailureAdd,
        /// The other subscription ends.
        Move,
        /// Both run.
        AllowBoth,
    }
}
switch! {
    /// How phone numbers must be written.
    Phone {
        /// Ten digits; area code and exchange start with 2 to 9.
        Digits10Nanp,
        /// Any ten digits.
        Digits10,
        /// `+1` and the ten digits.
        E164,
        /// Either.
        Both,
    }
}
switch! {
    /// Whether `phone` may be left out.
    PhonePresence {
        /// It may.
        Optional,
        /// It may not.
        Required,
    }
}
switch! {
    /// What leaving out an optional field means for a known member.
    Omitted {
        /// The stored value stays.
        Keep,
        /// The stored value goes.
        Clear,
    }
}
switch! {
    /// What `null` means for an optional field.
    Nulls {
        /// The stored value goes.
        Accept,
        /// The whole request is refused.
        #[serde(rename = "reject_400")]
        Reject,
    }
}
switch! {
    /// The status of a refused payload.
    InvalidStatus {
        /// 400
        #[serde(rename = "400")]
        BadRequest,
        /// 422
        #[serde(rename = "422")]
        Unprocessable,
    }
}
switch! {
    /// The form of error bodies.
    ErrorBody {
        /// `{"message": …, "error": …, "trace_id": …}`
        Flat,
        /// `{"error": {"code": …, "message": …}}`
        Nested,
        /// A gateway's page.
        Html,
        /// Nothing.
        Empty,
    }
}
switch! {
    /// Where a reference id must be unique.
    ReferenceScope {
        /// In its group.
        PerGroup,
        /// In the organization: an add fails while another group has it.
        PerOrg,
    }
}
switch! {
    /// What one sync does first.
    Order {
        /// Removals, then adds.
        RemovesFirst,
        /// Adds, then removals.
        AddsFirst,
    }
}
switch! {
    /// The answer to a second group with the same `external_reference_id`.
    DuplicateGroup {
        /// 409
        #[serde(rename = "409")]
        Conflict,
        /// 400
        #[serde(rename = "400")]
        BadRequest,
        /// 422
        #[serde(rename = "422")]
        Unprocessable,
        /// 200 with the group that is there.
        #[serde(rename = "200_existing")]
        Existing,
    }
}
switch! {
    /// The status of a created group.
    CreatedStatus {
        /// 201
        #[serde(rename = "201")]
        Created,
        /// 200
        #[serde(rename = "200")]
        Ok,
    }
}
switch! {
    /// The answer to a page past the end.
    PastEnd {
        /// 200 and an empty page.
        #[serde(rename = "200_empty")]
        Empty,
        /// 404
        #[serde(rename = "404")]
        NotFound,
    }
}
switch! {
    /// The answer to a page size over 100.
    LimitOver {
        /// 400
        #[serde(rename = "400")]
        Reject,
        /// 100 are listed.
        Clamp,
    }
}
switch! {
    /// What one person (e-mail and date of birth) under two references of one group means.
    SamePerson {
        /// The second add fails.
        FailureAdd,
        /// Both are added.
        Allow,
    }
}
switch! {
    /// What keys mean that the API does not document.
    UnknownFields {
        /// The whole request is refused.
        #[serde(rename = "reject_400")]
        Reject,
        /// Nothing.
        Ignore,
    }
}
switch! {
    /// What a date of birth in the future means.
    FutureBirthDates {
        /// The whole request is refused.
        #[serde(rename = "reject_400")]
        Reject,
        /// Nothing.
        Accept,
    }
}
switch! {
    /// Which member id a person gets who comes back to a group.
    MemberIdOnReturn {
        /// A new one.
        New,
        /// The one of the first time.
        Same,
    }
}

/// All switches, `[switches]` of a script.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Switches {
    /// A second submit while one is in flight.
    pub in_flight: InFlight,
    /// Another plan on a known member.
    pub plan_change: PlanChange,
    /// An unknown plan on a known member.
    pub bad_plan_on_known: BadPlanOnKnown,
    /// A person who is active in another group.
    pub other_group: OtherGroup,
    /// How phone numbers are written.
    pub phone: Phone,
    /// Whether a phone number is needed.
    pub phone_presence: PhonePresence,
    /// An optional field left out.
    pub omitted: Omitted,
    /// `null` in an optional field.
    pub nulls: Nulls,
    /// More members than this in one request are refused.
    pub max_members: usize,
    /// A body of more bytes than this is answered with 413.
    pub max_body: usize,
    /// The status of a refused payload.
    pub invalid_status: InvalidStatus,
    /// The form of error bodies.
    pub error_body: ErrorBody,
    /// Requests are forgotten (404 on poll) this long after their acceptance; never without it.
    #[serde(deserialize_with = "super::script::some_duration")]
    pub forget_after: Option<Duration>,
    /// Where a reference id must be unique.
    pub reference_scope: ReferenceScope,
    /// What one sync does first.
    pub order: Order,
    /// A second group with the same reference.
    pub duplicate_group: DuplicateGroup,
    /// The status of a created group.
    pub created_status: CreatedStatus,
    /// A page past the end.
    pub past_end: PastEnd,
    /// A page size over 100.
    pub limit_over: LimitOver,
    /// One person under two references of one group.
    pub same_person: SamePerson,
    /// Undocumented keys.
    pub unknown_fields: UnknownFields,
    /// Dates of birth in the future.
    pub future_birth_dates: FutureBirthDates,
    /// The member id of a person who comes back.
    pub member_id_on_return: MemberIdOnReturn,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            in_flight: InFlight::default(),
            plan_change: PlanChange::default(),
            bad_plan_on_known: BadPlanOnKnown::default(),
            other_group: OtherGroup::default(),
            phone: Phone::default(),
            phone_presence: PhonePresence::default(),
            omitted: Omitted::default(),
            nulls: Nulls::default(),
            // The limit of the sibling census endpoint, and what the one public consumer takes this endpoint's to be.
            max_members: 5_000,
            // Not documented: three times what 5,000 full rows need.
            max_body: 8 * 1024 * 1024,
            invalid_status: InvalidStatus::default(),
            error_body: ErrorBody::default(),
            forget_after: None,
            reference_scope: ReferenceScope::default(),
            order: Order::default(),
            duplicate_group: DuplicateGroup::default(),
            created_status: CreatedStatus::default(),
            past_end: PastEnd::default(),
            limit_over: LimitOver::default(),
            same_person: SamePerson::default(),
            unknown_fields: UnknownFields::default(),
            future_birth_dates: FutureBirthDates::default(),
            member_id_on_return: MemberIdOnReturn::default(),
        }
    }
}

/// The words of asynchronous failures, `[reasons]` of a script. The API documents only the first; clients must not
/// branch on any.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reasons {
    /// The plan is unknown.
    pub invalid_plan: String,
    /// The person is active under another organization.
    pub blocked: String,
    /// The person is active in another group of this organization.
    pub other_group: String,
    /// The person is active in this group under another reference.
    pub same_person: String,
    /// Another group of the organization has this reference.
    pub reference_in_use: String,
    /// The plan of a known member does not change.
    pub plan_change: String,
}

impl Default for Reasons {
    fn default() -> Self {
        Self {
            invalid_plan: "Invalid plan_id".into(),
            blocked: "Member has an active subscription with another organization".into(),
            other_group: "Member is active in another group".into(),
            same_person: "Member is already active in this group under another reference_id".into(),
            reference_in_use: "reference_id is in use in another group".into(),
            plan_change: "Plan of an active subscription cannot be changed".into(),
        }
    }
}
