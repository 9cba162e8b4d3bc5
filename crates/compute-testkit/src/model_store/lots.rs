//! Prepaid value.

use async_trait::async_trait;
use compute_domain::id::InstanceId;
use compute_domain::prepaid::{Lot, Prepaid};
use compute_engine::ports::{Lots, StoreError};

use super::tx::{ModelTx, rejected, require};
use crate::planted::PlantedBug;

/// Whether a stored lot may become the other: it may be closed, once.
fn may_become(stored: &Lot, new: &Lot) -> bool {
    let closing = stored.closed.or(new.closed);
    *new == Lot {
        closed: closing,
        ..stored.clone()
    }
}

#[async_trait]
impl Lots for ModelTx {
    async fn lots_of(&mut self, instance: InstanceId) -> Result<Prepaid, StoreError> {
        Ok(self.read(|state, at| Prepaid::of(state.lots_of(at, instance))))
    }

    async fn save_lots(
        &mut self,
        instance: InstanceId,
        prepaid: &Prepaid,
    ) -> Result<(), StoreError> {
        self.write(|state| {
            require(
                state.instances.has(None, &instance),
                "a lot is of an instance",
            )?;
            let stored = state.lots_of(None, instance);
            require(
                stored.len() <= prepaid.lots().len(),
                "a lot is never removed",
            )?;
            let version = state.writing();
            for (number, lot) in prepaid.lots().iter().enumerate() {
                let mut lot = lot.clone();
                if state.has_bug(PlantedBug::LotsNotClosed) {
                    lot.closed = None;
                }
                match stored.get(number) {
                    Some(known) if *known == lot => continue,
                    Some(known) if may_become(known, &lot) => {}
                    Some(_) => {
                        return Err(rejected("a lot never changes, except that it is closed"));
                    }
                    None => require(
                        state.operations.has(None, &lot.operation),
                        "a lot is brought by an operation",
                    )?,
                }
                require(
                    lot.closed.is_none_or(|closing| closing.left <= lot.amount)
                        && lot.from <= lot.to,
                    "a lot holds no more than it was worth",
                )?;
                state.lots.put(version, (instance, number), lot);
            }
            Ok(())
        })
    }
}
