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
