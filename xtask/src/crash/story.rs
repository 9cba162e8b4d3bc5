//! What happens to an order, so that every step is reached, and how each story must end.

use serde_json::{Value, json};

/// A public key whose private half nobody has.
const SSH_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

/// The plan that machines are changed to.
pub(super) const LARGER: &str = "vc2-2c-4gb";

/// What a story tops up, in atomic units of the token: a dollar.
pub(super) const TOPUP: u64 = 1_000_000;

/// More often than anything is tried in a story.
const ALWAYS: u32 = 50;

/// A purchase with what goes wrong in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Story {
    /// Nothing goes wrong; the buyer logs in with a password.
    Delivered,
    /// Nothing goes wrong; the buyer logs in with a key, so a found machine can be kept.
    WithKey,
    /// The answer with the password is lost: the machine is found, taken down and made again.
    Replaced,
    /// The machine never starts: it is taken down and the money goes back.
    NeverReady,
    /// The cloud has no machine: the money goes back.
    SoldOut,
    /// Nothing goes wrong, and then the owner has the machine destroyed, and gets something back.
    Destroyed,
    /// Nothing goes wrong, and then the machine's time is lengthened by a second payment.
    Lengthened,
    /// Nothing goes wrong, and then the machine gets a larger plan.
    Resized,
    /// The cloud takes a larger plan on and does not bring it about.
    ResizeFailed,
    /// Nothing goes wrong, and then the machine is set up anew, with another password.
    SetUpAnew,
    /// Credits are bought, and nothing else.
    ToppedUp,
    /// Credits are bought, and spent on a machine that the cloud does not have: they come back.
    CreditsSoldOut,
    /// As delivered, for a buyer who shows a credential and nothing else, and has the key of the answer.
    ByCredential,
    /// The same buyer, and the cloud has no machine.
    ByCredentialSoldOut,
    /// The same buyer lengthens the time by a second credential.
    ByCredentialLengthened,
}

impl Story {
    const ALL: [Self; 15] = [
        Self::Delivered,
        Self::WithKey,
        Self::Replaced,
        Self::NeverReady,
        Self::SoldOut,
        Self::Destroyed,
        Self::Lengthened,
        Self::Resized,
        Self::ResizeFailed,
        Self::SetUpAnew,
        Self::ToppedUp,
        Self::CreditsSoldOut,
        Self::ByCredential,
        Self::ByCredentialSoldOut,
        Self::ByCredentialLengthened,
    ];

    /// Whether its buyer shows credentials and nothing else.
    pub(super) fn is_by_credential(self) -> bool {
        self != self.as_paid_for()
    }

    /// The story with the same end whose buyer has a wallet and signs payments.
    pub(super) const fn as_paid_for(self) -> Self {
        match self {
            Self::ByCredential => Self::Delivered,
            Self::ByCredentialSoldOut => Self::SoldOut,
            Self::ByCredentialLengthened => Self::Lengthened,
            other => other,
        }
    }

    /// The stories in which a fail point `<kind>.<step>.<position>` is reached.
    pub(super) fn reaching(point: &str) -> Vec<Self> {
        let mut words = point.split('.');
        let (kind, step) = (words.next(), words.next().unwrap_or_default());
        Self::ALL
            .into_iter()
            .filter(|story| kind == Some(story.kind()) && story.steps().contains(&step))
            .collect()
    }

    const fn kind(self) -> &'static str {
        match self {
            Self::Destroyed => "destroy",
            Self::Lengthened | Self::ByCredentialLengthened => "extend",
            Self::Resized | Self::ResizeFailed => "resize",
            Self::SetUpAnew => "power",
            Self::ToppedUp => "topup",
            _ => "provision",
        }
    }

    /// The steps of that kind of operation that the story is killed in. Steps that several stories
    /// share in the same way stand in one of them.
    const fn steps(self) -> &'static [&'static str] {
        match self {
            Self::Delivered => &["settle", "create", "await_ready"],
            Self::WithKey => &["create"],
            Self::Replaced => &["create", "destroy", "confirm_gone"],
            Self::NeverReady => &["await_ready", "destroy", "confirm_gone", "refund"],
            Self::SoldOut | Self::CreditsSoldOut | Self::ByCredentialSoldOut => &["refund"],
            Self::Destroyed => &["destroy", "confirm_gone"],
            Self::Lengthened
            | Self::ToppedUp
            | Self::ByCredential
            | Self::ByCredentialLengthened => &["settle"],
            Self::Resized => &["change", "await_change"],
            Self::ResizeFailed => &["await_change", "power_on"],
            Self::SetUpAnew => &["switch"],
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::WithKey => "with-key",
            Self::Replaced => "replaced",
            Self::NeverReady => "never-ready",
            Self::SoldOut => "sold-out",
            Self::Destroyed => "destroyed",
            Self::Lengthened => "lengthened",
            Self::Resized => "resized",
            Self::ResizeFailed => "resize-failed",
            Self::SetUpAnew => "set-up-anew",
            Self::ToppedUp => "topped-up",
            Self::CreditsSoldOut => "credits-sold-out",
            Self::ByCredential => "by-credential",
            Self::ByCredentialSoldOut => "by-credential-sold-out",
            Self::ByCredentialLengthened => "by-credential-lengthened",
        }
    }

    /// What the double of the cloud is told to do wrong. What ends the story goes wrong however often it is tried: on
    /// a slow computer an answer can be late, and is asked for again.
    pub(super) fn faults(self) -> Option<Value> {
        match self.as_paid_for() {
            Self::Replaced => Some(json!({"kind": "create_then_drop"})),
            Self::NeverReady => Some(json!({"kind": "never_ready", "times": ALWAYS})),
            Self::SoldOut | Self::CreditsSoldOut => Some(json!({
                "kind": "refuse_create",
                "status": 400,
                "error": "Plan is not available in this location",
                "times": ALWAYS,
            })),
            Self::ResizeFailed => Some(json!({"kind": "fail_resize", "times": ALWAYS})),
            _ => None,
        }
    }

    /// What the buyer asks for.
    pub(super) fn body(self) -> Value {
        let mut body = json!({
            "plan": "vc2-1c-1gb", "region": "ewr", "os_id": 2284,
            "label": "crash", "prepaid_hours": self.hours(), "network": "base",
        });
        if let Some(members) = body.as_object_mut() {
            if self == Self::WithKey {
                members.insert("ssh_public_key".to_owned(), SSH_KEY.into());
            }
            if self.pays_with_credits() {
                members.insert("use_credits".to_owned(), true.into());
            }
        }
        body
    }

    /// The plan of the machine in the end.
    pub(super) const fn plan_in_the_end(self) -> &'static str {
        if matches!(self, Self::Resized) {
            LARGER
        } else {
            "vc2-1c-1gb"
        }
    }

    /// Whether it begins with buying credits.
    pub(super) const fn tops_up(self) -> bool {
        matches!(self, Self::ToppedUp | Self::CreditsSoldOut)
    }

    /// Whether the machine is paid with credits.
    pub(super) const fn pays_with_credits(self) -> bool {
        matches!(self, Self::CreditsSoldOut)
    }

    /// Whether a machine is bought at all.
    pub(super) const fn buys_machine(self) -> bool {
        !matches!(self, Self::ToppedUp)
    }

    /// What is settled in a story, oldest first, when the machine and an extension cost `price` each.
    pub(super) fn payments(self, price: u64) -> Vec<u64> {
        match self.as_paid_for() {
            Self::ToppedUp | Self::CreditsSoldOut => vec![TOPUP],
            Self::Lengthened => vec![price, price],
            _ => vec![price],
        }
    }

    /// What the buyer asks for first: of a day nothing is given back.
    const fn hours(self) -> u64 {
        if matches!(self, Self::Destroyed) {
            48
        } else {
            24
        }
    }

    /// Hours of the order in the end.
    pub(super) const fn hours_in_the_end(self) -> u64 {
        if matches!(self.as_paid_for(), Self::Lengthened) {
            48
        } else {
            self.hours()
        }
    }

    /// Whether the buyer gets a machine; otherwise the money comes back.
    pub(super) const fn delivers(self) -> bool {
        !matches!(
            self.as_paid_for(),
            Self::NeverReady | Self::SoldOut | Self::CreditsSoldOut
        )
    }

    /// How long a machine may take to start before it is taken down; times are divided by 100.
    pub(super) const fn ready_window(self) -> &'static str {
        match self {
            Self::NeverReady => "100s",
            _ => "1200s",
        }
    }

    /// Machines that exist at the end.
    pub(super) const fn machines(self) -> usize {
        match self.as_paid_for() {
            Self::Delivered
            | Self::WithKey
            | Self::Replaced
            | Self::Lengthened
            | Self::Resized
            | Self::ResizeFailed
            | Self::SetUpAnew => 1,
            _ => 0,
        }
    }

    /// The last status of the order.
    pub(super) const fn status(self) -> &'static str {
        match self.as_paid_for() {
            Self::Delivered
            | Self::WithKey
            | Self::Replaced
            | Self::Lengthened
            | Self::Resized
            | Self::ResizeFailed
            | Self::SetUpAnew => "active",
            Self::Destroyed => "destroyed",
            Self::ToppedUp => "",
            _ => "failed",
        }
    }

    /// Whether the buyer can read a root password at the end.
    pub(super) const fn has_password(self) -> bool {
        matches!(
            self.as_paid_for(),
            Self::Delivered | Self::Replaced | Self::SetUpAnew
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_belongs_to_the_stories_that_reach_it() {
        assert_eq!(
            Story::reaching("provision.settle.begin.before"),
            [Story::Delivered, Story::ByCredential]
        );
        assert_eq!(
            Story::reaching("provision.refund.result.after"),
            [
                Story::NeverReady,
                Story::SoldOut,
                Story::CreditsSoldOut,
                Story::ByCredentialSoldOut
            ]
        );
        assert_eq!(
            Story::reaching("topup.settle.begin.after"),
            [Story::ToppedUp]
        );
        assert_eq!(
            Story::reaching("extend.settle.begin.after"),
            [Story::Lengthened, Story::ByCredentialLengthened]
        );
        assert_eq!(
            Story::reaching("destroy.confirm_gone.effect.after"),
            [Story::Destroyed]
        );
        assert_eq!(
            Story::reaching("resize.await_change.result.before"),
            [Story::Resized, Story::ResizeFailed]
        );
    }

    #[test]
    fn a_step_that_no_story_knows_is_reached_by_none() {
        assert_eq!(Story::reaching("resize.grow.begin.after"), []);
        assert_eq!(Story::reaching("provision.paint.begin.after"), []);
    }

    #[test]
    fn who_gets_no_machine_has_none_at_the_end() {
        for story in Story::ALL {
            assert!(story.delivers() || story.machines() == 0);
        }
    }
}
