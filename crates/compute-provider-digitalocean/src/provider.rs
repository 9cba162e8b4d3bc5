use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use compute_domain::catalog::{
    Catalog, OsId, Plan, PlanId, ProviderId, ProviderInstanceId, RegionId,
};
use compute_domain::id::OperationId;
use compute_domain::setup::UserData;
use compute_engine::ports::{
    ActionId, ActionState, Ambiguity, CreateSpec, Created, MachineState, Observed, Power, Provider,
    ProviderAccount, ProviderError, ResizeCheck, Stock,
};
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::classify::{Failure, unreadable};
use crate::client::{Client, List};
use crate::config::{DigitalOceanConfig, DigitalOceanConfigError, Timeouts};
use crate::convert;
use crate::keys::Key;
use crate::mark::{self, Whose};
use crate::stock;
use crate::wire::{CreateBody, DropletRow, ImageRow, RegionRow, SizeRow};

/// Machines whose leftovers are remembered at most; the oldest are forgotten first.
const REMEMBERED_MAX: usize = 10_000;

/// One account at DigitalOcean.
#[derive(Clone, Debug)]
pub struct DigitalOcean {
    pub(crate) client: Client,
    environment: String,
    pub(crate) timeouts: Timeouts,
    leftovers: Arc<Mutex<BTreeMap<u64, Leftovers>>>,
}

/// What the account keeps when a machine is gone. It is remembered whenever the machine is seen: one that
/// somebody removed, or whose delete was not answered, cannot be read any more.
#[derive(Clone, Debug)]
struct Leftovers {
    operation: OperationId,
    key_ids: Vec<u64>,
}

pub(crate) fn rejected(reason: &str) -> ProviderError {
    ProviderError::Rejected {
        reason: reason.to_owned(),
    }
}

// Ids of machines are numbers, beyond 32 bits. Nothing is asked for by another one.
pub(crate) fn number_of(machine: &ProviderInstanceId) -> Result<u64, ProviderError> {
    let number = machine.as_str().parse();
    number.map_err(|_| rejected("no machine of DigitalOcean has this id"))
}

impl DigitalOcean {
    /// An adapter for the configured account; sends nothing.
    ///
    /// # Errors
    /// [`DigitalOceanConfigError`] names the setting that cannot be used.
    pub fn new(config: &DigitalOceanConfig) -> Result<Self, DigitalOceanConfigError> {
        let http = config.connect()?;
        Ok(Self {
            client: Client::new(http, config.allowance, config.timeouts.create),
            environment: config.environment.clone(),
            timeouts: config.timeouts,
            leftovers: Arc::default(),
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
        let (account, sizes, regions, images) = futures::try_join!(
            self.client.account(),
            self.client.list(List::all("sizes")),
            self.client.list(List::all("regions")),
            self.read_images(),
        )?;
        if account.status != "active" {
            tracing::error!(
                provider.name = "digitalocean",
                status = account.status,
                "the account is not active: nothing is sold"
            );
            return Err(ProviderError::Unauthorized);
        }
        let mut regions: BTreeMap<_, _> = rows(&regions)
            .filter_map(|row: RegionRow| convert::region(&row))
            .map(|region| (region.id.clone(), region))
            .collect();
        // Through maps: pages may repeat a row when the list changes between them.
        let plans: BTreeMap<_, _> = rows(&sizes)
            .filter_map(|row: SizeRow<'_>| convert::plan(&row, &regions))
            .map(|plan| (plan.id.clone(), plan))
            .collect();
        let images: BTreeMap<_, _> = images
            .iter()
            .filter_map(convert::image)
            .map(|image| (image.id.clone(), image))
            .collect();
        regions.retain(|id, _| plans.values().any(|plan| plan.locations.contains(id)));
        Ok(Catalog {
            plans: plans.into_values().collect(),
            regions: regions.into_values().collect(),
            images: images.into_values().collect(),
        })
    }

    async fn read_images(&self) -> Result<Vec<ImageRow>, Failure> {
        let list = List {
            resource: "images",
            query: Some(("type", "distribution")),
        };
        Ok(rows(&self.client.list(list).await?).collect())
    }

    /// The slug of an image. A number stands for the image that it named when it was published: its
    /// slug has moved on to another number when the image was rebuilt.
    async fn image_slug(&self, os: &OsId) -> Result<String, ProviderError> {
        let Ok(number) = os.as_str().parse::<u64>() else {
            return Ok(os.as_str().to_owned());
        };
        let unknown = || rejected("the image is not known");
        let old = match self.client.image(number).await {
            Ok(row) => row,
            Err(Failure::NotFound) => return Err(unknown()),
            Err(failure) => return Err(not_yet_sent(failure.into())),
        };
        if let Some(slug) = old.slug {
            return Ok(slug);
        }
        let images = self.read_images().await;
        let images = images.map_err(|failure| not_yet_sent(failure.into()))?;
        let successor = images.into_iter().find(|row| {
            (&row.name, &row.distribution) == (&old.name, &old.distribution)
                && convert::image(row).is_some()
        });
        successor.and_then(|row| row.slug).ok_or_else(unknown)
    }

    /// The droplets of these lists that are of this installation, oldest first. GPU droplets have a list
    /// of their own, and tags come later than the machine: so all droplets are looked at.
    async fn read_machines(&self, tag: &str) -> Result<Vec<Observed>, ProviderError> {
        let list = |query| List {
            resource: "droplets",
            query,
        };
        let (tagged, plain, gpus) = futures::try_join!(
            self.client.list(list(Some(("tag_name", tag)))),
            self.client.list(list(None)),
            self.client.list(list(Some(("type", "gpus")))),
        )?;
        let mut machines = BTreeMap::new();
        for row in tagged.iter().chain(&plain).chain(&gpus) {
            // A machine that cannot be read might be the one that is looked for.
            let unreadable = || ProviderError::from(unreadable());
            let row: DropletRow = serde_json::from_str(row.get()).map_err(|_| unreadable())?;
            let seen = convert::observed(&row, &self.environment).ok_or_else(unreadable)?;
            // The vendor's dates have whole seconds; attempts tell the order within one.
            if let (seen, Whose::Ours(tag)) = seen {
                self.note(&row);
                machines.insert((seen.created_at, tag.attempt, row.id), seen);
            }
        }
        Ok(machines.into_values().collect())
    }

    /// Everything that a create needs: the image's slug, and the keys, which are noted as soon as they
    /// are registered. No machine is asked for yet.
    async fn prepare(
        &self,
        spec: &CreateSpec,
        size: &str,
        keys: &mut Vec<Key>,
    ) -> Result<String, ProviderError> {
        // Without a key the vendor would mail a password to the account's owner.
        if spec.machine.ssh_keys.is_empty() {
            return Err(rejected("DigitalOcean needs an SSH key"));
        }
        let image = self.image_slug(&spec.machine.os).await?;
        if !convert::fits(&image, size) {
            return Err(rejected("the image is made for another kind of GPU"));
        }
        for key in &spec.machine.ssh_keys {
            keys.push(self.client.provide_key(&self.environment, key).await?);
        }
        Ok(image)
    }

    async fn order(&self, spec: &CreateSpec) -> Result<Created, ProviderError> {
        if spec.tag.environment != self.environment {
            return Err(rejected("the machine is meant for another installation"));
        }
        let machine = &spec.machine;
        let Some(size) = convert::slug(&machine.plan) else {
            return Err(rejected("the plan is not one of DigitalOcean"));
        };
        let deadline = Instant::now() + self.timeouts.call;
        let mut keys = Vec::new();
        let prepared = self.prepare(spec, size, &mut keys);
        let prepared = tokio::time::timeout(self.timeouts.request, prepared).await;
        let image = match prepared.unwrap_or(Err(ProviderError::Unreachable)) {
            Ok(image) => image,
            Err(error) => {
                self.release_own_keys(&keys, deadline).await;
                return Err(error);
            }
        };
        let key_ids: Vec<u64> = keys.iter().map(|key| key.id).collect();
        let name = mark::name(&spec.tag, machine.hostname.as_ref());
        let body = CreateBody {
            name: &name,
            region: machine.region.as_str(),
            size,
            image: &image,
            ssh_keys: &key_ids,
            user_data: spec.user_data.as_ref().map(UserData::expose),
            tags: &mark::all(&spec.tag, &key_ids),
            ipv6: false,
            backups: false,
            monitoring: false,
        };
        match self.client.create(&body).await {
            Ok(made) => {
                if made.name != name {
                    tracing::error!(
                        provider.name = "digitalocean",
                        machine = made.id,
                        "the vendor changed our name"
                    );
                }
                self.remember(made.id, spec.tag.operation, key_ids);
                let machine = ProviderInstanceId::parse(&made.id.to_string());
                Ok(Created {
                    machine: machine.map_err(|_| ProviderError::from(unreadable()))?,
                    root_password: None,
                })
            }
            Err(failure) => {
                let error = ProviderError::from(failure);
                // After an unclear create the keys belong to the machine that may exist.
                if !matches!(error, ProviderError::Ambiguous(_)) {
                    self.release_own_keys(&keys, deadline).await;
                }
                Err(error)
            }
        }
    }

    async fn release_own_keys(&self, keys: &[Key], deadline: Instant) {
        for key in keys.iter().filter(|key| key.is_new) {
            let release = self.client.release_key(&self.environment, key.id, None);
            if tokio::time::timeout_at(deadline, release).await.is_err() {
                tracing::warn!(
                    provider.name = "digitalocean",
                    key.id,
                    "an SSH key is left over"
                );
            }
        }
    }

    async fn remove(&self, id: u64) -> Result<(), ProviderError> {
        // Only to learn whose it is, and what it leaves: the delete must not depend on this answer.
        if let Ok(row) = self.client.droplet(id).await
            && self.note(&row) == Whose::Theirs
        {
            tracing::error!(
                provider.name = "digitalocean",
                machine = id,
                "a machine of another installation is not deleted"
            );
            return Err(rejected("the machine belongs to another installation"));
        }
        match self.client.delete_droplet(id).await {
            Ok(()) | Err(Failure::NotFound) => {}
            Err(failure) => return Err(failure.into()),
        }
        let leftovers = self.leftovers().get(&id).cloned();
        if let Some(leftovers) = leftovers {
            let tag = mark::operation(leftovers.operation);
            self.client.release_tag(&tag, id).await;
            let environment = &self.environment;
            for key_id in leftovers.key_ids {
                self.client.release_key(environment, key_id, Some(id)).await;
            }
            self.leftovers().remove(&id);
        }
        Ok(())
    }

    /// Whose machine this is; what it will leave is remembered.
    pub(crate) fn note(&self, row: &DropletRow) -> Whose {
        let whose = mark::read(&row.tags, &row.name, &self.environment);
        if let Whose::Ours(tag) = &whose {
            self.remember(row.id, tag.operation, mark::key_ids(&row.tags));
        }
        whose
    }

    fn remember(&self, id: u64, operation: OperationId, mut key_ids: Vec<u64>) {
        let mut all = self.leftovers();
        // Tags come later than the machine: a look that shows none knows less.
        if key_ids.is_empty()
            && let Some(known) = all.remove(&id)
        {
            key_ids = known.key_ids;
        }
        all.insert(id, Leftovers { operation, key_ids });
        if all.len() > REMEMBERED_MAX {
            all.pop_first();
        }
    }

    /// Whether it was seen to be ours.
    pub(crate) fn knows(&self, id: u64) -> bool {
        self.leftovers().contains_key(&id)
    }

    fn leftovers(&self) -> MutexGuard<'_, BTreeMap<u64, Leftovers>> {
        self.leftovers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

// Before the create is sent nothing can have been made, whatever an earlier request did.
fn not_yet_sent(error: ProviderError) -> ProviderError {
    match error {
        ProviderError::Ambiguous(_) => ProviderError::Unreachable,
        error => error,
    }
}

// Rows are read one by one: a strange one must not hide the others.
fn rows<'a, R: serde::Deserialize<'a>>(rows: &'a [Box<RawValue>]) -> impl Iterator<Item = R> {
    rows.iter()
        .filter_map(|row| serde_json::from_str(row.get()).ok())
}

#[async_trait]
impl Provider for DigitalOcean {
    fn id(&self) -> ProviderId {
        ProviderId::DigitalOcean
    }

    fn offers_root_password(&self) -> bool {
        false
    }

    async fn catalog(&self) -> Result<Catalog, ProviderError> {
        self.in_time(self.read_catalog()).await
    }

    async fn stock(&self, region: &RegionId) -> Result<Option<Stock>, ProviderError> {
        self.in_time(stock::read(&self.client, region))
            .await
            .map(Some)
    }

    async fn create(&self, spec: &CreateSpec) -> Result<Created, ProviderError> {
        // No limit around it: what comes before has one, the create has its own, and only what comes
        // after is cut short.
        self.order(spec).await
    }

    async fn find(&self, operation: OperationId) -> Result<Vec<Observed>, ProviderError> {
        let tag = mark::operation(operation);
        let mut found = self.in_time(self.read_machines(&tag)).await?;
        found.retain(|seen| {
            let tag = seen.tag.as_ref();
            tag.is_some_and(|tag| tag.operation == operation)
        });
        Ok(found)
    }

    async fn observe(&self, machine: &ProviderInstanceId) -> Result<Observed, ProviderError> {
        let gone = || Observed {
            machine: machine.clone(),
            tag: None,
            plan: None,
            state: MachineState::Gone,
            address: None,
            created_at: None,
        };
        let id = number_of(machine)?;
        match self.client.droplet(id).await {
            Ok(row) if row.id == id => {
                self.note(&row);
                let seen = convert::observed(&row, &self.environment);
                Ok(seen.ok_or_else(|| ProviderError::from(unreadable()))?.0)
            }
            Ok(_) => Err(unreadable().into()),
            Err(Failure::NotFound) => Ok(gone()),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn destroy(&self, machine: &ProviderInstanceId) -> Result<(), ProviderError> {
        let id = number_of(machine)?;
        self.in_time(self.remove(id)).await
    }

    async fn list(&self) -> Result<Vec<Observed>, ProviderError> {
        self.in_time(self.read_machines(&mark::fleet(&self.environment)))
            .await
    }

    fn resizes_when_off(&self) -> bool {
        true
    }

    async fn check_resize(
        &self,
        machine: &ProviderInstanceId,
        to: &Plan,
    ) -> Result<ResizeCheck, ProviderError> {
        self.check_size(machine, to).await
    }

    async fn resize(
        &self,
        machine: &ProviderInstanceId,
        to: &PlanId,
        grow_disk: bool,
    ) -> Result<Option<ActionId>, ProviderError> {
        self.change_size(machine, to, grow_disk).await
    }

    async fn action(
        &self,
        machine: &ProviderInstanceId,
        action: &ActionId,
    ) -> Result<ActionState, ProviderError> {
        self.read_action(machine, action).await
    }

    async fn power(&self, machine: &ProviderInstanceId, power: Power) -> Result<(), ProviderError> {
        self.switch(machine, power).await
    }

    fn reinstalls(&self) -> bool {
        false
    }

    async fn reinstall(
        &self,
        _machine: &ProviderInstanceId,
    ) -> Result<Option<secrecy::SecretString>, ProviderError> {
        Err(rejected(
            "machines of DigitalOcean are not set up anew with their keys and user data",
        ))
    }

    async fn account(&self) -> Result<ProviderAccount, ProviderError> {
        Ok(convert::account(self.client.account().await?))
    }
}
