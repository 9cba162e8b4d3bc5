use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compute_domain::catalog::{Catalog, Plan, PlanId, ProviderId, ProviderInstanceId, RegionId};
use compute_domain::id::OperationId;
use compute_domain::setup::SshKeys;
use compute_domain::text::SshPublicKey;
use compute_engine::ports::{
    self, ActionId, ActionState, Ambiguity, CreateSpec, Created, MachineState, MachineTag,
    Observed, Power, Provider, ProviderAccount, ProviderError, ResizeCheck,
};
use futures::{StreamExt, TryStreamExt, stream};
use secrecy::{ExposeSecret, SecretString};
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::classify::{Failure, ambiguous};
use crate::client::Client;
use crate::config::{Timeouts, VultrConfig, VultrConfigError};
use crate::convert::{self, Stock};
use crate::stock;
use crate::tag::{self, Whose};
use crate::wire::{CreateBody, InstanceRow, KeyRow, OsRow, PlanRow, RegionRow};

/// Availability is asked region by region; the vendor allows 30 requests a second and takes about
/// one second for each.
const PARALLEL_REGIONS: usize = 8;

/// Machines whose keys are remembered at most.
const REMEMBERED_MAX: usize = 10_000;

/// An SSH key at the vendor.
#[derive(Debug)]
struct Key {
    id: String,
    /// Whether this attempt registered it.
    is_new: bool,
}

/// One account at Vultr.
#[derive(Clone, Debug)]
pub struct Vultr {
    pub(crate) client: Client,
    environment: String,
    pub(crate) timeouts: Timeouts,
    /// Our machines and their keys, from when they were seen: one that somebody removed, or whose delete was not
    /// answered, cannot be read any more.
    keys: Arc<Mutex<BTreeMap<ProviderInstanceId, Vec<String>>>>,
}

impl Vultr {
    /// An adapter for the configured account; sends nothing.
    ///
    /// # Errors
    /// [`VultrConfigError`] names the setting that cannot be used.
    pub fn new(config: &VultrConfig) -> Result<Self, VultrConfigError> {
        Ok(Self {
            client: Client::new(config.connect()?, config.allowance, config.timeouts.create),
            environment: config.environment.clone(),
            timeouts: config.timeouts,
            keys: Arc::default(),
        })
    }

    // Several requests in a row may each be in time and still be too slow together.
    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        let too_late = |_| ProviderError::Ambiguous(Ambiguity::NoAnswer);
        tokio::time::timeout(self.timeouts.call, work)
            .await
            .map_err(too_late)?
    }

    async fn read_catalog(&self) -> Result<Catalog, ProviderError> {
        let (plans, regions, images) = futures::try_join!(
            self.client.list("plans", None),
            self.client.list("regions", None),
            self.client.list("os", None),
        )?;
        let mut regions: BTreeMap<RegionId, _> = sellable(&regions, |row: &RegionRow| {
            convert::region(row).map(|region| (region.id.clone(), region))
        });
        let stock = self.read_stock(regions.keys()).await?;
        let plans = plans.iter().filter_map(|row| {
            // Rows are read one by one: a strange one must not hide the others.
            let row: PlanRow<'_> = serde_json::from_str(row.get()).ok()?;
            convert::plan(&row, &stock).map(|plan| (plan.id.clone(), plan))
        });
        // Through maps: pages may repeat a row when the list changes between them.
        let plans: BTreeMap<_, _> = plans.collect();
        let images: BTreeMap<_, _> = sellable(&images, |row: &OsRow| {
            convert::image(row).map(|image| (image.id.clone(), image))
        });
        regions.retain(|id, _| stock.contains_key(id));
        Ok(Catalog {
            plans: plans.into_values().collect(),
            regions: regions.into_values().collect(),
            images: images.into_values().collect(),
        })
    }

    async fn read_stock(
        &self,
        regions: impl Iterator<Item = &RegionId>,
    ) -> Result<Stock, ProviderError> {
        let ask = |region: RegionId| async move {
            match self.client.available_plans(region.as_str()).await {
                Ok(plans) => Ok(Some((region, plans.into_iter().collect::<BTreeSet<_>>()))),
                // The list names a region that the availability call does not know.
                Err(Failure::NotFound | Failure::Port(ProviderError::Rejected { .. })) => {
                    tracing::warn!(provider.name = "vultr", region = %region, "region has no availability");
                    Ok(None)
                }
                Err(failure) => Err(ProviderError::from(failure)),
            }
        };
        let known: Vec<RegionId> = regions.cloned().collect();
        let stock: Stock = stream::iter(known)
            .map(ask)
            .buffer_unordered(PARALLEL_REGIONS)
            .try_filter_map(|entry| async move { Ok(entry) })
            .try_collect()
            .await?;
        // Without a valid key the vendor answers 200 with empty lists, as if all were sold out.
        if !stock.is_empty() && stock.values().all(BTreeSet::is_empty) {
            return Err(ProviderError::Unauthorized);
        }
        Ok(stock)
    }

    async fn read_machines(&self, tag: &str) -> Result<Vec<Observed>, ProviderError> {
        let rows = self.client.list("instances", Some(tag)).await?;
        let mut machines = BTreeMap::new();
        for row in rows {
            // A machine that cannot be read might be the one that is looked for.
            let unreadable = || ProviderError::Ambiguous(Ambiguity::Unreadable);
            let row: InstanceRow = serde_json::from_str(row.get()).map_err(|_| unreadable())?;
            let seen = convert::observed(&row, &self.environment).ok_or_else(unreadable)?;
            self.note(&seen.machine, &row.tags);
            // The vendor's dates have whole seconds; attempts tell the order within one.
            if let Some(attempt) = seen.tag.as_ref().map(|tag| tag.attempt) {
                machines.insert((seen.created_at, attempt, seen.machine.clone()), seen);
            }
        }
        Ok(machines.into_values().collect())
    }

    // Keys per order and its attempts, so that they can be removed with the machine. An earlier attempt
    // that ended before its machine was asked for, or unclear, left its keys, which serve as well.
    async fn provide_keys(
        &self,
        tag: &MachineTag,
        wanted: &SshKeys,
        deadline: Instant,
    ) -> Result<Vec<Key>, ProviderError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let mut keys = Vec::new();
        let work = async {
            let known = self.known_keys(tag).await?;
            for key in wanted {
                let own = known.iter().find(|(_, known)| known == key);
                keys.push(match own {
                    Some((id, _)) => Key {
                        id: id.clone(),
                        is_new: false,
                    },
                    None => Key {
                        id: self.client.add_key(&tag::name(tag), key.as_str()).await?,
                        is_new: true,
                    },
                });
            }
            Ok(())
        };
        // Together with the create it must stay below half a lease.
        let outcome = tokio::time::timeout(self.timeouts.request, work).await;
        let outcome = outcome.unwrap_or_else(|_| Err(ambiguous(Ambiguity::NoAnswer)));
        let Err(failure) = outcome else {
            return Ok(keys);
        };
        self.drop_own_keys(&keys, deadline).await;
        Err(match Failure::into(failure) {
            // Whatever became of the key, no machine was asked for yet.
            ProviderError::Ambiguous(ambiguity) => {
                tracing::warn!(provider.name = "vultr", %ambiguity, "an SSH key may be left over");
                ProviderError::Unreachable
            }
            error => error,
        })
    }

    // By the name for the order, and by the keys themselves: the vendor may keep comments of its own.
    async fn known_keys(&self, tag: &MachineTag) -> Result<Vec<(String, SshPublicKey)>, Failure> {
        let start = tag::name_start(tag.operation);
        let rows = self.client.list("ssh-keys", None).await?;
        let keys = rows
            .iter()
            .filter_map(|row| serde_json::from_str::<KeyRow>(row.get()).ok());
        let own = keys.filter(|row| row.name.starts_with(&start));
        let read = |row: KeyRow| Some((row.id, SshPublicKey::parse(&row.ssh_key).ok()?));
        Ok(own.filter_map(read).collect())
    }

    // A key left behind costs nothing and grants nothing: it is worth a line in the log, not more.
    async fn drop_key(&self, id: &str) {
        match self.client.delete_key(id).await {
            Ok(()) | Err(Failure::NotFound) => {}
            Err(Failure::Port(error)) => {
                tracing::warn!(provider.name = "vultr", key.id = id, %error, "an SSH key is left over");
            }
        }
    }

    // An earlier attempt may have made a machine that lets its customer in by the key.
    async fn drop_own_keys(&self, keys: &[Key], deadline: Instant) {
        for key in keys {
            if key.is_new {
                let dropped = tokio::time::timeout_at(deadline, self.drop_key(&key.id));
                if dropped.await.is_err() {
                    tracing::warn!(provider.name = "vultr", key.id = %key.id, "an SSH key is left over");
                }
            } else {
                tracing::warn!(provider.name = "vultr", key.id = %key.id, "an SSH key of an earlier attempt may be left over");
            }
        }
    }

    async fn order(&self, spec: &CreateSpec) -> Result<Created, ProviderError> {
        let rejected = |reason: &str| ProviderError::Rejected {
            reason: reason.to_owned(),
        };
        if spec.tag.environment != self.environment {
            return Err(rejected("the machine is meant for another installation"));
        }
        let machine = &spec.machine;
        let os_id = machine.os.as_str().parse();
        let os_id = os_id.map_err(|_| rejected("the image is not a number"))?;
        let deadline = Instant::now() + self.timeouts.call;
        let name = tag::name(&spec.tag);
        let keys = self
            .provide_keys(&spec.tag, &machine.ssh_keys, deadline)
            .await?;
        let key_ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
        let tags = tag::all(&spec.tag, &key_ids);
        let spare_hostname = tag::hostname(&spec.tag);
        let hostname = machine
            .hostname
            .as_ref()
            .map_or(spare_hostname.as_str(), |h| h.as_str());
        let user_data = spec.user_data.as_ref();
        let user_data = user_data.map(|data| SecretString::from(STANDARD.encode(data.expose())));
        let body = CreateBody {
            region: machine.region.as_str(),
            plan: machine.plan.as_str(),
            os_id,
            label: &name,
            hostname,
            tags: &tags,
            sshkey_id: &key_ids,
            user_data: user_data.as_ref().map(ExposeSecret::expose_secret),
            backups: "disabled",
            enable_ipv6: false,
            activation_email: false,
            user_scheme: "root",
        };
        match self.client.create(&body).await {
            Ok(made) => {
                let id = ProviderInstanceId::parse(&made.id)
                    .map_err(|_| ProviderError::Ambiguous(Ambiguity::Unreadable))?;
                if tag::parse(&made.tags, &self.environment).as_ref() != Some(&spec.tag) {
                    tracing::error!(provider.name = "vultr", machine = %id, "the vendor changed our tags");
                }
                self.note(&id, &tags);
                let is_told =
                    |password: &_| !ExposeSecret::<str>::expose_secret(password).is_empty();
                Ok(Created {
                    machine: id,
                    root_password: made.default_password.filter(is_told),
                })
            }
            Err(failure) => {
                let error = ProviderError::from(failure);
                // After an unclear create the keys belong to the machine that may exist.
                if !matches!(error, ProviderError::Ambiguous(_)) {
                    self.drop_own_keys(&keys, deadline).await;
                }
                Err(error)
            }
        }
    }

    async fn remove(&self, machine: &ProviderInstanceId) -> Result<(), ProviderError> {
        // Only to learn whose it is, and its key: the delete must not depend on this answer.
        let row = self.client.instance(machine.as_str()).await.ok();
        if row.is_some_and(|row| self.note(machine, &row.tags) == Whose::Theirs) {
            tracing::error!(provider.name = "vultr", %machine, "a machine of another installation is not deleted");
            return Err(ProviderError::Rejected {
                reason: "the machine belongs to another installation".to_owned(),
            });
        }
        match self.client.delete_instance(machine.as_str()).await {
            Ok(()) | Err(Failure::NotFound) => {}
            Err(failure) => return Err(failure.into()),
        }
        let key_ids = self.keys().get(machine).cloned();
        if let Some(key_ids) = key_ids {
            for key_id in &key_ids {
                self.drop_key(key_id).await;
            }
            self.keys().remove(machine);
        }
        Ok(())
    }

    /// Whose machine this is; its keys are remembered.
    pub(crate) fn note(&self, machine: &ProviderInstanceId, tags: &[String]) -> Whose {
        let whose = tag::whose(tags, &self.environment);
        if whose == Whose::Ours {
            let key_ids: Vec<String> = tag::key_ids(tags).map(str::to_owned).collect();
            let mut keys = self.keys();
            // A look that shows none knows less than an earlier one.
            let known = keys.entry(machine.clone()).or_default();
            if !key_ids.is_empty() {
                *known = key_ids;
            }
            if keys.len() > REMEMBERED_MAX {
                keys.pop_first();
            }
        }
        whose
    }

    pub(crate) fn keys(&self) -> MutexGuard<'_, BTreeMap<ProviderInstanceId, Vec<String>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// Rows that can be read and sold, by id.
fn sellable<'a, R, K, V>(
    rows: &'a [Box<RawValue>],
    convert: impl Fn(&R) -> Option<(K, V)>,
) -> BTreeMap<K, V>
where
    R: serde::Deserialize<'a>,
    K: Ord,
{
    rows.iter()
        .filter_map(|row| convert(&serde_json::from_str(row.get()).ok()?))
        .collect()
}

#[async_trait]
impl Provider for Vultr {
    fn id(&self) -> ProviderId {
        ProviderId::Vultr
    }

    fn offers_root_password(&self) -> bool {
        true
    }

    async fn catalog(&self) -> Result<Catalog, ProviderError> {
        self.in_time(self.read_catalog()).await
    }

    async fn stock(&self, region: &RegionId) -> Result<Option<ports::Stock>, ProviderError> {
        self.in_time(stock::read(&self.client, region))
            .await
            .map(Some)
    }

    async fn create(&self, spec: &CreateSpec) -> Result<Created, ProviderError> {
        // No limit around it: key and machine have their own, and the machine's answer holds the
        // only copy of its password.
        self.order(spec).await
    }

    async fn find(&self, operation: OperationId) -> Result<Vec<Observed>, ProviderError> {
        let mut found = self
            .in_time(self.read_machines(&tag::operation(operation)))
            .await?;
        found.retain(|seen| {
            seen.tag
                .as_ref()
                .is_some_and(|tag| tag.operation == operation)
        });
        Ok(found)
    }

    async fn observe(&self, machine: &ProviderInstanceId) -> Result<Observed, ProviderError> {
        let unreadable = || ProviderError::Ambiguous(Ambiguity::Unreadable);
        match self.client.instance(machine.as_str()).await {
            Ok(row) if row.id == machine.as_str() => {
                self.note(machine, &row.tags);
                convert::observed(&row, &self.environment).ok_or_else(unreadable)
            }
            Ok(_) => Err(unreadable()),
            Err(Failure::NotFound) => Ok(Observed {
                machine: machine.clone(),
                tag: None,
                plan: None,
                state: MachineState::Gone,
                address: None,
                created_at: None,
            }),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn destroy(&self, machine: &ProviderInstanceId) -> Result<(), ProviderError> {
        self.in_time(self.remove(machine)).await
    }

    async fn list(&self) -> Result<Vec<Observed>, ProviderError> {
        self.in_time(self.read_machines(&tag::fleet(&self.environment)))
            .await
    }

    fn resizes_when_off(&self) -> bool {
        false
    }

    async fn check_resize(
        &self,
        machine: &ProviderInstanceId,
        to: &Plan,
    ) -> Result<ResizeCheck, ProviderError> {
        self.in_time(self.check_plan(machine, to)).await
    }

    async fn resize(
        &self,
        machine: &ProviderInstanceId,
        to: &PlanId,
        _grow_disk: bool,
    ) -> Result<Option<ActionId>, ProviderError> {
        self.change_plan(machine, to).await
    }

    async fn action(
        &self,
        machine: &ProviderInstanceId,
        action: &ActionId,
    ) -> Result<ActionState, ProviderError> {
        self.read_job(machine, action).await
    }

    async fn power(&self, machine: &ProviderInstanceId, power: Power) -> Result<(), ProviderError> {
        self.switch(machine, power).await
    }

    fn reinstalls(&self) -> bool {
        true
    }

    async fn reinstall(
        &self,
        machine: &ProviderInstanceId,
    ) -> Result<Option<SecretString>, ProviderError> {
        // No limit around it, as with a create: its two requests have their own.
        self.set_up_anew(machine).await
    }

    async fn account(&self) -> Result<ProviderAccount, ProviderError> {
        Ok(self.client.account().await?)
    }
}
