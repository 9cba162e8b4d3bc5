//! What a new machine does at its first start: sealed from the purchase until the machine is made.

use compute_domain::id::OperationId;
use compute_domain::operation::Operation;
use compute_domain::setup::UserData;

use crate::engine::Engine;
use crate::error::Error;

/// The associated data of sealed user data.
fn seal_context(operation: OperationId) -> String {
    format!("operations/{operation}/user_data")
}

impl Engine {
    /// For the operation's memory.
    pub(crate) fn seal_user_data(
        &self,
        operation: OperationId,
        data: &UserData,
    ) -> Result<String, Error> {
        let context = seal_context(operation);
        let entropy = self.entropy.as_ref();
        let sealed = self
            .secrets
            .sealer
            .seal(data.expose().as_bytes(), &context, entropy);
        sealed
            .map(hex::encode)
            .map_err(|error| Error::Internal(Box::new(error)))
    }

    /// For the provider. A machine must not be made without what was ordered, so a sealing key that
    /// is missing from the configuration keeps the purchase waiting.
    pub(crate) fn open_user_data(&self, operation: &Operation) -> Result<Option<UserData>, Error> {
        let Some(sealed) = &operation.data.sealed_user_data else {
            return Ok(None);
        };
        let open = || -> Result<UserData, Box<dyn core::error::Error + Send + Sync>> {
            let sealed = hex::decode(sealed)?;
            let bytes = self
                .secrets
                .sealer
                .open(&sealed, &seal_context(operation.id))?;
            Ok(UserData::parse(&String::from_utf8(bytes)?)?)
        };
        open().map(Some).map_err(Error::Internal)
    }
}
