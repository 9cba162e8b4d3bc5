//! The one-time root password.

use std::net::IpAddr;

use compute_domain::id::InstanceId;
use compute_domain::instance::{Access, InstanceState};
use compute_domain::owner::Scope;
use secrecy::SecretString;

use crate::engine::Engine;
use crate::error::Error;
use crate::identity::Caller;
use crate::ports::TakenPassword;

/// Who logs in to machines without an SSH key.
const USERNAME: &str = "root";

/// How to get into a machine; handed out once.
#[derive(Debug)]
pub struct RootAccess {
    /// The account.
    pub username: String,
    /// The machine's address, when it is known.
    pub ip: Option<IpAddr>,
    /// Its password.
    pub password: SecretString,
}

/// The associated data of a sealed root password.
pub(crate) fn seal_context(instance: InstanceId) -> String {
    format!("root_passwords/{instance}")
}

impl Engine {
    /// Hands out the root password of the caller's machine, once, ever. It leaves the database in
    /// the transaction that marks it taken; a crash after that commit loses it, by design.
    ///
    /// # Errors
    /// `PasswordTaken` from the second call on, `NoPassword` for machines with an SSH key,
    /// `PasswordNotReady` until the machine is made, `NotFound` for a foreign or unknown id.
    pub async fn take_password(
        &self,
        caller: &Caller,
        id: InstanceId,
    ) -> Result<RootAccess, Error> {
        caller.require(Scope::Manage)?;
        let (mut tx, owner) = self.open_for(caller).await?;
        let found = tx
            .lock_instance(id)
            .await?
            .filter(|found| Some(found.owner) == owner);
        let Some(instance) = found else {
            tx.commit().await?;
            return Err(Error::NotFound);
        };
        let refusal = match &instance.state {
            _ if instance.access == Access::SshKey => Some(Error::NoPassword),
            InstanceState::Pending | InstanceState::Provisioning(_) => {
                Some(Error::PasswordNotReady)
            }
            InstanceState::Active(_) => None,
            ended => Some(Error::WrongState {
                state: ended.name(),
            }),
        };
        if let Some(refusal) = refusal {
            tx.commit().await?;
            return Err(refusal);
        }
        let sealed = match tx.take_password(id, self.now()).await? {
            TakenPassword::Sealed(sealed) => sealed,
            TakenPassword::AlreadyTaken => {
                tx.commit().await?;
                return Err(Error::PasswordTaken);
            }
            TakenPassword::None => {
                tx.commit().await?;
                return Err(Error::NoPassword);
            }
        };
        // Opened before the commit: with a sealing key missing from the configuration the password
        // must stay where it is.
        let opened = self.secrets.sealer.open(&sealed, &seal_context(id));
        let bytes = opened.map_err(|error| Error::Internal(Box::new(error)))?;
        let text = String::from_utf8(bytes).map_err(|_| Error::Internal("not UTF-8".into()))?;
        tx.commit().await?;
        tracing::info!(instance.id = %id, "one-time password taken");
        Ok(RootAccess {
            username: USERNAME.to_owned(),
            ip: instance.ip,
            password: SecretString::from(text),
        })
    }
}
