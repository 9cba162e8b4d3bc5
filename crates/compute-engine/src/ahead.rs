//! Before the prepaid time of a machine ends: when its owner is told, and when it is extended by itself.
//!
//! Both are planned in the transaction that sets the end, so that an extension arms the notices anew,
//! and whatever ends a machine takes them away.

use compute_domain::instance::{Instance, InstanceState};
use compute_domain::time::{Span, Timestamp};

use crate::engine::Engine;
use crate::error::Error;
use crate::ports::{AutoExtension, ExpiryNotice, Tx};

/// So many hours before its end, the owner of a machine is told.
const NOTICES: [u32; 3] = [72, 24, 1];

/// What is prepaid for longer than this in all is extended [`LONG_LEAD`] before its end, and else
/// [`SHORT_LEAD`] before it: a machine that is sold by the day must not be extended at its start.
const LONG_LIVED: u32 = 48;
const LONG_LEAD: Span = Span::from_hours(24);
const SHORT_LEAD: Span = Span::from_hours(2);

/// The first notice of this end that still lies ahead.
pub(crate) fn next_notice(
    instance: &Instance,
    expires_at: Timestamp,
    now: Timestamp,
) -> Option<ExpiryNotice> {
    let mut notices = NOTICES.into_iter().map(|hours_left| ExpiryNotice {
        instance: instance.id,
        expires_at,
        hours_left,
        due_at: expires_at.minus(Span::from_hours(hours_left)),
    });
    notices.find(|notice| notice.due_at > now)
}

/// How many hours are left in the words of the notices: the last one whose time has come. None when
/// none has, or when the end has come.
pub(crate) fn hours_left(expires_at: Timestamp, now: Timestamp) -> Option<u32> {
    if now >= expires_at {
        return None;
    }
    let left = expires_at.since(now);
    let mut due = NOTICES.into_iter().rev();
    due.find(|hours| left <= Span::from_hours(*hours))
}

/// When a machine with this end is to be extended by itself.
pub(crate) fn extension_due(instance: &Instance, expires_at: Timestamp) -> Timestamp {
    let prepaid = instance.hours.get().saturating_add(instance.extended_hours);
    expires_at.minus(if prepaid > LONG_LIVED {
        LONG_LEAD
    } else {
        SHORT_LEAD
    })
}

impl AutoExtension {
    /// The same wish for another end.
    pub(crate) fn planned(&self, instance: &Instance, expires_at: Timestamp) -> Self {
        Self {
            due_at: Some(extension_due(instance, expires_at)),
            failures: 0,
            told: None,
            ..self.clone()
        }
    }
}

const fn end_of(instance: &Instance) -> Option<Timestamp> {
    match &instance.state {
        InstanceState::Active(placement) => Some(placement.expires_at),
        _ => None,
    }
}

impl Engine {
    /// Plans anew what is to happen before the end, when the end has changed.
    pub(crate) async fn plan_ahead(
        &self,
        tx: &mut dyn Tx,
        before: &Instance,
        after: &Instance,
    ) -> Result<(), Error> {
        let id = after.id;
        match &after.state {
            InstanceState::Active(placement) => {
                let expires_at = placement.expires_at;
                if end_of(before) == Some(expires_at) {
                    return Ok(());
                }
                match next_notice(after, expires_at, self.now()) {
                    Some(notice) => tx.set_expiry_notice(&notice).await?,
                    None => tx.clear_expiry_notice(id).await?,
                }
                if let Some(wish) = tx.find_auto_extension(id).await? {
                    tx.set_auto_extension(&wish.planned(after, expires_at))
                        .await?;
                }
            }
            InstanceState::Destroying { .. } | InstanceState::Failed { .. }
                if before.state.name() != after.state.name() =>
            {
                tx.clear_expiry_notice(id).await?;
                tx.clear_auto_extension(id).await?;
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    #[test]
    fn the_words_of_the_notices_follow_the_time_that_is_left() {
        for (minutes, expected) in [
            (73 * 60, None),
            (72 * 60, Some(72)),
            (24 * 60 + 1, Some(72)),
            (24 * 60, Some(24)),
            (61, Some(24)),
            (60, Some(1)),
            (1, Some(1)),
            (0, None),
        ] {
            let now = END.minus(Span::from_secs(minutes * 60));
            assert_eq!(hours_left(END, now), expected, "{minutes}");
        }
        assert_eq!(hours_left(END, END.plus(Span::from_secs(1))), None);
    }
}
