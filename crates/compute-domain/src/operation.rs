//! Operations: one durable piece of work each, made of steps.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::catalog::{OsId, PlanId, RegionId};
use crate::id::{ApiKeyId, InstanceId, OperationId, OwnerId};
use crate::instance::FailureCode;
use crate::money::{HourlyRate, Hours, Usd};
use crate::request_key::RequestKey;
use crate::setup::SshKeys;
use crate::text::{Hostname, Label, SshPublicKey};
use crate::text_enum;
use crate::time::Timestamp;

text_enum! {
    /// The kinds of work.
    OperationKind {
        /// Take a payment and deliver a machine.
        Provision = "provision",
        /// Take a payment and lengthen a machine's prepaid time.
        Extend = "extend",
        /// Take a payment and make it the owner's credit.
        Topup = "topup",
        /// Take a machine down.
        Destroy = "destroy",
        /// Give a machine another plan.
        Resize = "resize",
        /// Use a machine's switch, or set it up anew.
        Power = "power",
    }
}

text_enum! {
    /// A stage of an operation. Each has at most one outside effect.
    Step {
        /// Make the money move.
        Settle = "settle",
        /// Have the provider make a machine.
        Create = "create",
        /// Wait until the machine runs and has an address.
        AwaitReady = "await_ready",
        /// Have the provider delete the machine.
        Destroy = "destroy",
        /// Make sure the provider no longer has it.
        ConfirmGone = "confirm_gone",
        /// Turn the settled payment into the owner's credit.
        Refund = "refund",
        /// Switch the machine off, so that its plan can change.
        PowerOff = "power_off",
        /// Have the provider change the plan.
        Change = "change",
        /// Wait until the plan has changed.
        AwaitChange = "await_change",
        /// Switch the machine on, whatever came of the change.
        PowerOn = "power_on",
        /// Do what the owner wants with the machine's switch.
        Switch = "switch",
    }
}

text_enum! {
    /// What an owner can do with a running machine.
    PowerAction {
        /// Restart it.
        Reboot = "reboot",
        /// Switch it on.
        Start = "start",
        /// Cut its power. Its time goes on.
        Stop = "stop",
        /// Set it up anew; what is on its disk is lost.
        Reinstall = "reinstall",
    }
}

impl OperationKind {
    /// The steps an operation of this kind may go through, its undo included.
    pub const fn steps(self) -> &'static [Step] {
        match self {
            Self::Provision => &[
                Step::Settle,
                Step::Create,
                Step::AwaitReady,
                Step::Destroy,
                Step::ConfirmGone,
                Step::Refund,
            ],
            Self::Extend | Self::Topup => &[Step::Settle],
            Self::Destroy => &[Step::Destroy, Step::ConfirmGone],
            Self::Resize => &[
                Step::PowerOff,
                Step::Change,
                Step::AwaitChange,
                Step::PowerOn,
            ],
            Self::Power => &[Step::Switch],
        }
    }

    /// Where an operation of this kind starts that a payment pays, or that costs nothing. A change of
    /// plan starts there where a machine must be off for it.
    pub const fn first_step(self) -> Step {
        match self {
            Self::Provision | Self::Extend | Self::Topup => Step::Settle,
            Self::Destroy => Step::Destroy,
            Self::Resize => Step::PowerOff,
            Self::Power => Step::Switch,
        }
    }
}

impl Step {
    /// Whether the step acts on the outside world, so that a crash in it leaves a question.
    pub const fn has_effect(self) -> bool {
        match self {
            Self::Settle
            | Self::Create
            | Self::Destroy
            | Self::PowerOff
            | Self::Change
            | Self::PowerOn
            | Self::Switch => true,
            Self::AwaitReady | Self::ConfirmGone | Self::Refund | Self::AwaitChange => false,
        }
    }
}

/// How far a running operation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The present step.
    pub step: Step,
    /// Set, and committed, before the step's effect is attempted; empty means it never started.
    pub begun_at: Option<Timestamp>,
    /// How often this step has been tried.
    pub attempt: u32,
    /// Not to be touched before.
    pub run_at: Timestamp,
}

/// Where an operation stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperationState {
    /// There is work to do.
    Running(Progress),
    /// Done.
    Succeeded,
    /// Not done; the customer lost nothing.
    Failed {
        /// Why.
        code: FailureCode,
    },
    /// Cannot be decided without a human; nothing is guessed.
    Stuck {
        /// What is unclear.
        code: FailureCode,
        /// Where it stopped.
        step: Step,
    },
}

impl OperationState {
    /// The stored name of the state.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Running(_) => "running",
            Self::Succeeded => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Stuck { .. } => "stuck",
        }
    }
}

/// The machine that a provision operation is to have made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineSpec {
    /// Its size.
    pub plan: PlanId,
    /// Where.
    pub region: RegionId,
    /// Its image.
    pub os: OsId,
    /// The customer's name for it.
    pub label: Label,
    /// Its host name, when the customer chose one.
    pub hostname: Option<Hostname>,
    /// Who may log in; none means a root password. Format 1 had one key at most, under another name.
    #[serde(alias = "ssh_public_key", deserialize_with = "one_or_several")]
    pub ssh_keys: SshKeys,
}

fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SshKeys, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stored {
        Several(SshKeys),
        One(SshPublicKey),
        None,
    }
    Ok(match Stored::deserialize(deserializer)? {
        Stored::Several(keys) => keys,
        Stored::One(key) => key.into(),
        Stored::None => SshKeys::default(),
    })
}

/// What follows once a machine is gone that the customer never got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// Its root password was lost with an answer: make another machine.
    Recreate,
    /// Give the money back.
    Fail(FailureCode),
}

/// The time that an operation buys for an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeBought {
    /// How long.
    pub hours: Hours,
    /// What an hour costs.
    pub rate: HourlyRate,
    /// What it costs in all.
    pub price: Usd,
}

/// Credits that an operation spent when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditsSpent {
    /// How many.
    pub amount: Usd,
    /// The API key whose budget they were charged to.
    pub api_key: Option<ApiKeyId>,
}

/// A change of plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanChange {
    /// The plan to come.
    pub to: PlanId,
    /// What an hour will cost.
    pub rate: HourlyRate,
    /// Whether the disk may grow for good.
    pub grow_disk: bool,
    /// Whether the machine is switched off for it, and so must be switched on again.
    pub switches_off: bool,
    /// The provider's name for the change.
    pub action: Option<String>,
    /// Whether the machine has the plan, and its owner's time was counted anew.
    pub is_done: bool,
    /// Why it is given up.
    pub given_up: Option<FailureCode>,
    /// Since when the machine has had the old plan, and the provider has not been busy with it.
    pub idle_since: Option<Timestamp>,
}

/// What an owner wants of a machine's switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchUse {
    /// What.
    pub action: PowerAction,
    /// Whether the provider said that it does it.
    pub is_accepted: bool,
    /// Whether it may have been done without our knowing.
    #[serde(default)]
    pub was_unclear: bool,
}

/// What an operation must remember between steps. Stored as JSON; `format` guards its meaning.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OperationData {
    /// What to make; provision only.
    pub spec: Option<MachineSpec>,
    /// What the new machine does at its first start, sealed, in hexadecimal digits; until the work
    /// comes to its end. Provision only.
    pub sealed_user_data: Option<String>,
    /// What it buys; provision and extend.
    pub time: Option<TimeBought>,
    /// What was spent when it was opened; none when a payment pays, or when it is free.
    pub credits: Option<CreditsSpent>,
    /// The client's names for this purchase.
    pub request_keys: Vec<RequestKey>,
    /// Since when it no longer holds its instance, because its payment took too long; what still
    /// arrives becomes credit. Extend only.
    pub hold_released_at: Option<Timestamp>,
    /// The operation whose mark the machine carries; destroy only, a provision marks with its own.
    pub marked_by: Option<OperationId>,
    /// Counts machines asked for; part of the machine's tag, starts at 1.
    pub machine_attempt: u32,
    /// Why the machine is being taken back; provision only.
    pub undo: Option<Undo>,
    /// Since when the present step has been tried.
    pub step_since: Option<Timestamp>,
    /// Since when the money may have moved without our knowing.
    pub settlement_unknown_since: Option<Timestamp>,
    /// How often somebody was asked after a proof that can no longer settle, in vain.
    pub overdue_looks: u32,
    /// How often the provider did not answer a question of the present step.
    pub unanswered: u32,
    /// How often a machine was looked for after an unclear create, and not shown.
    pub looks: u32,
    /// Whether the provider ever showed the present machine; before that "gone" may mean "not yet".
    pub seen_alive: bool,
    /// The address seen at the last look; ready needs the same one twice.
    pub seen_address: Option<IpAddr>,
    /// Since when the provider answers that the machine is gone.
    pub gone_since: Option<Timestamp>,
    /// The change of plan; resize only.
    pub change: Option<PlanChange>,
    /// What is to be done with the switch; power only.
    pub switch: Option<SwitchUse>,
    /// Whether a quarantine held it up: its machine may have been made, delivered and used without
    /// this database's knowing. Provision only.
    pub was_held: bool,
}

/// The version of [`OperationData`] that this build writes and understands.
pub const OPERATION_FORMAT: i32 = 3;

/// One durable piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its id; also the mark by which its machine is found at the provider.
    pub id: OperationId,
    /// What kind of work.
    pub kind: OperationKind,
    /// For whom.
    pub owner: OwnerId,
    /// On which instance; a top-up has none.
    pub instance: Option<InstanceId>,
    /// Where it stands.
    pub state: OperationState,
    /// What it remembers.
    pub data: OperationData,
    /// SHA-256 of the canonical request: the same payment with another request is refused by it.
    pub request_digest: [u8; 32],
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it came to rest.
    pub finished_at: Option<Timestamp>,
}

impl Operation {
    /// A new operation at its first step, to be worked on at once.
    pub fn open(
        id: OperationId,
        kind: OperationKind,
        owner: OwnerId,
        instance: Option<InstanceId>,
        request_digest: [u8; 32],
        now: Timestamp,
    ) -> Self {
        let progress = Progress {
            step: kind.first_step(),
            begun_at: None,
            attempt: 0,
            run_at: now,
        };
        let data = OperationData {
            machine_attempt: 1,
            step_since: Some(now),
            ..OperationData::default()
        };
        Self {
            id,
            kind,
            owner,
            instance,
            state: OperationState::Running(progress),
            data,
            request_digest,
            created_at: now,
            finished_at: None,
        }
    }

    /// Whether nobody else may change its instance: while it is open, unless it has let go.
    pub const fn holds_instance(&self) -> bool {
        self.data.hold_released_at.is_none()
            && matches!(
                self.state,
                OperationState::Running(_) | OperationState::Stuck { .. }
            )
    }

    /// How far it is, while it runs.
    pub const fn progress(&self) -> Option<&Progress> {
        match &self.state {
            OperationState::Running(progress) => Some(progress),
            _ => None,
        }
    }

    /// Marks the present step's effect as about to be attempted.
    #[must_use]
    pub fn begin(mut self, now: Timestamp) -> Self {
        if let OperationState::Running(progress) = &mut self.state {
            progress.begun_at = Some(now);
            progress.attempt = progress.attempt.saturating_add(1);
        }
        self
    }

    /// Goes on to another step, to be worked on at `run_at`.
    #[must_use]
    pub fn advance(mut self, step: Step, now: Timestamp, run_at: Timestamp) -> Self {
        self.state = OperationState::Running(Progress {
            step,
            begun_at: None,
            attempt: 0,
            run_at,
        });
        self.data.step_since = Some(now);
        self.data.looks = 0;
        self.data.unanswered = 0;
        self.data.seen_address = None;
        self.data.gone_since = None;
        self
    }

    /// Keeps the question open and looks again at `run_at`.
    #[must_use]
    pub fn look_again(mut self, run_at: Timestamp) -> Self {
        if let OperationState::Running(progress) = &mut self.state {
            progress.run_at = run_at;
        }
        self
    }

    /// The effect certainly did not happen: try it again at `run_at`.
    #[must_use]
    pub fn try_again(mut self, run_at: Timestamp) -> Self {
        if let OperationState::Running(progress) = &mut self.state {
            progress.begun_at = None;
            progress.run_at = run_at;
        }
        self
    }

    /// Comes to rest. What stays open for a human keeps what it may still need.
    #[must_use]
    pub fn rest(mut self, state: OperationState, now: Timestamp) -> Self {
        if !matches!(state, OperationState::Stuck { .. }) {
            self.data.sealed_user_data = None;
        }
        self.state = state;
        self.finished_at = Some(now);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    #[test]
    fn machines_of_the_first_format_are_read() {
        let own = SshKeys::from(SshPublicKey::parse(KEY).unwrap());
        for (name, keys, expected) in [
            ("ssh_public_key", format!("\"{KEY}\""), own.clone()),
            ("ssh_public_key", "null".to_owned(), SshKeys::default()),
            ("ssh_keys", format!("[\"{KEY}\"]"), own),
            ("ssh_keys", "[]".to_owned(), SshKeys::default()),
        ] {
            let text = format!(
                "{{\"plan\":\"vc2-1c-1gb\",\"region\":\"ewr\",\"os\":\"2284\",\"label\":\"a\",\
                 \"hostname\":null,\"{name}\":{keys}}}"
            );
            let spec: MachineSpec = serde_json::from_str(&text).unwrap();
            assert_eq!(spec.ssh_keys, expected, "{text}");
        }
    }
}
