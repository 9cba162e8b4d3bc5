//! What happens to an order, so that every step is reached, and how each story must end.

use serde_json::{Value, json};

/// A public key whose private half nobody has.
const SSH_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

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
    /// Nothing goes wrong, and then the owner has the machine destroyed.
    Destroyed,
}

impl Story {
    const ALL: [Self; 6] = [
        Self::Delivered,
        Self::WithKey,
        Self::Replaced,
        Self::NeverReady,
        Self::SoldOut,
        Self::Destroyed,
    ];

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
            Self::SoldOut => &["refund"],
            Self::Destroyed => &["destroy", "confirm_gone"],
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
        }
    }

    /// What the double of the cloud is told to do wrong.
    pub(super) fn faults(self) -> Option<Value> {
        match self {
            Self::Replaced => Some(json!({"kind": "create_then_drop"})),
            Self::NeverReady => Some(json!({"kind": "never_ready"})),
            Self::SoldOut => Some(json!({
                "kind": "refuse_create",
                "status": 400,
                "error": "Plan is not available in this location",
            })),
            Self::Delivered | Self::WithKey | Self::Destroyed => None,
        }
    }

    /// What the buyer asks for. The price is the same in every story.
    pub(super) fn body(self) -> Value {
        let mut body = json!({
            "plan": "vc2-1c-1gb", "region": "ewr", "os_id": 2284,
            "label": "crash", "prepaid_hours": 24, "network": "base",
        });
        if let (Self::WithKey, Some(members)) = (self, body.as_object_mut()) {
            members.insert("ssh_public_key".to_owned(), SSH_KEY.into());
        }
        body
    }

    /// Whether the buyer gets a machine; otherwise the money comes back.
    pub(super) const fn delivers(self) -> bool {
        !matches!(self, Self::NeverReady | Self::SoldOut)
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
        match self {
            Self::Delivered | Self::WithKey | Self::Replaced => 1,
            Self::NeverReady | Self::SoldOut | Self::Destroyed => 0,
        }
    }

    /// The last status of the order.
    pub(super) const fn status(self) -> &'static str {
        match self {
            Self::Delivered | Self::WithKey | Self::Replaced => "active",
            Self::NeverReady | Self::SoldOut => "failed",
            Self::Destroyed => "destroyed",
        }
    }

    /// Whether the buyer can read a root password at the end.
    pub(super) const fn has_password(self) -> bool {
        matches!(self, Self::Delivered | Self::Replaced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_belongs_to_the_stories_that_reach_it() {
        assert_eq!(
            Story::reaching("provision.settle.begin.before"),
            [Story::Delivered]
        );
        assert_eq!(
            Story::reaching("provision.refund.result.after"),
            [Story::NeverReady, Story::SoldOut]
        );
        assert_eq!(
            Story::reaching("destroy.confirm_gone.effect.after"),
            [Story::Destroyed]
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
