//! The simulated cloud and the simulated settlement network of development mode.
//!
//! Both stand behind the engine's ports and obey the same contracts as the real adapters, so
//! everything in front of the ports is real in development too: HTTP, signatures, amounts, replay
//! protection, operations, the ledger. Neither can be built without a [`DevPermit`].

mod catalogue;
mod journal;

pub mod charge;
pub mod cloud;
pub mod dev_rails;
pub mod error;
pub mod permit;
pub mod settlement;

pub use charge::SimulatedCharge;
pub use cloud::{CloudBehaviour, SimulatedCloud};
pub use dev_rails::{DevRailError, PATH_USD, dev_charges, dev_rails};
pub use error::{JournalError, SimulatorError};
pub use permit::DevPermit;
pub use settlement::{SettlementBehaviour, SimulatedSettlement};
