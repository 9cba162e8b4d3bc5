//! What an owner is told about: machines that begin, change and end, and credits that come and go.

use crate::text_enum;

text_enum! {
    /// What happened. The texts are public and never change their meaning.
    EventKind {
        /// A machine runs and can be used.
        InstanceActive = "instance.active",
        /// An order came to nothing; nothing was lost.
        InstanceFailed = "instance.failed",
        /// A machine got more prepaid time.
        InstanceExtended = "instance.extended",
        /// A machine has another plan.
        InstanceResized = "instance.resized",
        /// A change of plan did not come about; the machine is as it was.
        InstanceResizeFailed = "instance.resize_failed",
        /// The prepaid time of a machine ends in 72, 24 or 1 hours.
        InstanceExpiring = "instance.expiring",
        /// A machine was extended from credits, as its owner wants it to be.
        InstanceAutoExtended = "instance.auto_extended",
        /// A machine was to be extended from credits and was not; it is tried again until its end.
        InstanceAutoExtendFailed = "instance.auto_extend_failed",
        /// The prepaid time of a machine is over, and so is the grace: it is being taken down.
        InstanceExpired = "instance.expired",
        /// The provider lost a machine; what was left is credited.
        InstanceLost = "instance.lost",
        /// A machine is gone, and its provider has confirmed that.
        InstanceDestroyed = "instance.destroyed",
        /// Credits came that are not given back for anything.
        CreditsAdded = "credits.added",
        /// What was paid came back as credits.
        CreditsRefunded = "credits.refunded",
        /// Credits were set aside because a card payment goes back, or may have to.
        CreditsWithheld = "credits.withheld",
        /// A webhook was switched off, because its receiver has not answered for long.
        WebhookDisabled = "webhook.disabled",
    }
}

/// What happened, as it is written down: by this version of the program, or by a newer one that shares
/// the database and knows more kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventType {
    /// A kind that is known here.
    Known(EventKind),
    /// The text of one that is not.
    Newer(String),
}

impl EventType {
    /// What this text stands for.
    pub fn parse(text: &str) -> Self {
        EventKind::parse(text).map_or_else(|| Self::Newer(text.to_owned()), Self::Known)
    }

    /// The public text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(kind) => kind.as_str(),
            Self::Newer(text) => text,
        }
    }
}

impl From<EventKind> for EventType {
    fn from(kind: EventKind) -> Self {
        Self::Known(kind)
    }
}

impl PartialEq<EventKind> for EventType {
    fn eq(&self, kind: &EventKind) -> bool {
        matches!(self, Self::Known(own) if own == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_a_newer_version_keeps_its_text() {
        for kind in EventKind::ALL {
            assert_eq!(EventType::parse(kind.as_str()), *kind);
        }
        let newer = EventType::parse("instance.moved");
        assert_eq!(newer, EventType::Newer("instance.moved".to_owned()));
        assert_eq!(newer.as_str(), "instance.moved");
    }
}
