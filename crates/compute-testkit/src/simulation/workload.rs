//! What customers do: a random script for each of them, honest and hostile by turns.

use compute_domain::setup::SshKeys;
use std::rc::Rc;

use compute_domain::catalog::{OsId, PlanId, RegionId};
use compute_domain::id::InstanceId;
use compute_domain::money::{Hours, Usd};
use compute_domain::request_key::RequestKey;
use compute_domain::text::{Label, SshPublicKey};
use compute_engine::{Caller, ExtendRequest, PaymentProof, ProvisionRequest, TopupRequest};
use futures::future::{join, join_all};

use super::cluster::World;
use super::errands::{
    destroy, destroy_it, extend_at_the_end, make_key, peek, read_password, read_twice, resize,
};
use super::people::{Person, Wish};
use super::reactor::lock;
use super::shopping::{Ended, Signed};

const SSH_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJDTgPZEojXPYFOKmo1yHJYcoM0rZW2TQLi1HnFpWa3f a@b";

const MACHINES: [(&str, &str, &str); 4] = [
    ("vc2-1c-1gb", "ewr", "2284"),
    ("vc2-2c-4gb", "lax", "2284"),
    ("do:s-1vcpu-1gb", "ams3", "ubuntu-24-04-x64"),
    ("do:s-2vcpu-2gb", "nyc3", "ubuntu-24-04-x64"),
];

/// Lives one customer's life.
pub(crate) async fn live(
    world: Rc<World>,
    person: Rc<Person>,
    others: Rc<Vec<Rc<Person>>>,
    acts: u32,
) {
    let pause = world.reactor.dice.range(0, 600_000);
    world.reactor.sleep(pause).await;
    for _ in 0..acts {
        if world.reactor.is_violated() {
            break;
        }
        act(&world, &person, &others).await;
        let pause = world.reactor.dice.range(100, 900_000);
        world.reactor.sleep(pause).await;
    }
    world.clients.set(world.clients.get().saturating_sub(1));
}

async fn act(world: &Rc<World>, person: &Rc<Person>, others: &[Rc<Person>]) {
    let dice = &world.reactor.dice;
    match dice.below(100) {
        0..24 => buy_machine(world, person).await,
        24..32 => top_up(world, person).await,
        32..46 => spend(world, person).await,
        46..57 => extend(world, person, others).await,
        57..60 => extend_much(world, person).await,
        60..67 => destroy(world, person).await,
        67..78 => read_password(world, person).await,
        78..84 => make_key(world, person).await,
        84..90 => read_twice(world, person).await,
        90..93 => peek(world, person, others).await,
        93..97 => resize(world, person).await,
        _ => extend_at_the_end(world, person).await,
    }
}

fn machine(world: &World) -> Option<ProvisionRequest> {
    let dice = &world.reactor.dice;
    let (plan, region, os) = *dice.pick(&MACHINES)?;
    let needs_key = plan.starts_with("do:");
    let ssh_keys = if needs_key || dice.chance(300) {
        SshPublicKey::parse(SSH_KEY).ok()?.into()
    } else {
        SshKeys::default()
    };
    let hours = dice.range(24, 60);
    Some(ProvisionRequest {
        plan: PlanId::parse(plan).ok()?,
        region: RegionId::parse(region).ok()?,
        os: OsId::parse(os).ok()?,
        label: Label::parse(&format!("m{}", dice.below(3))).ok()?,
        hostname: None,
        hours: Hours::new(u32::try_from(hours).ok()?).ok()?,
        network: network(world)?,
        ssh_keys,
        user_data: None,
        provider: None,
        auto_extend: None,
    })
}

fn network(world: &World) -> Option<compute_domain::payment::RailLabel> {
    use compute_engine::ports::Rail as _;
    let rail = world.reactor.dice.pick(&world.rails)?;
    Some(rail.spec().label.clone())
}

fn new_name(world: &World) -> Option<RequestKey> {
    RequestKey::idempotency_key(&format!("name-{:08x}", world.reactor.dice.below(1 << 32))).ok()
}

fn maybe_name(world: &World) -> Vec<RequestKey> {
    if world.reactor.dice.chance(500) {
        new_name(world).into_iter().collect()
    } else {
        Vec::new()
    }
}

/// Anonymous, or signed in.
fn somebody(world: &World, person: &Person) -> Caller {
    if world.reactor.dice.chance(500) {
        Caller::Anonymous
    } else {
        person.signed(world)
    }
}

async fn buy_machine(world: &Rc<World>, person: &Rc<Person>) {
    let Some(request) = machine(world) else {
        return;
    };
    let names = maybe_name(world);
    let caller = Caller::Anonymous;
    let wish = Wish::Machine(request);
    let Some(signed) = world.sign(person, &caller, wish, names).await else {
        return;
    };
    let dice = &world.reactor.dice;
    if dice.chance(300) {
        let copies = dice.index(15) + 2;
        world.send_copies(person, &caller, &signed, copies).await;
    }
    let ended = world.send(person, || caller.clone(), &signed).await;
    if matches!(ended, Ended::Unknown) {
        // The client that gave up comes back much later, or signs anew under the same name.
        let pause = dice.range(60_000, 3_600_000);
        world.reactor.sleep(pause).await;
        world.send(person, || caller.clone(), &signed).await;
    }
    abuse(world, person, &signed).await;
}

/// What one may try with a payment that was used.
async fn abuse(world: &Rc<World>, person: &Rc<Person>, signed: &Signed) {
    let dice = &world.reactor.dice;
    let tally = || lock(&world.reactor.tally);
    match dice.below(8) {
        0 => {
            tally().fault("F056");
            let Some(request) = machine(world) else {
                return;
            };
            let other = Signed {
                wish: Wish::Machine(request),
                names: Vec::new(),
                ..signed.clone()
            };
            misuse(world, person, &other).await;
        }
        1 => {
            tally().fault("F057");
            let Some(request) = credits(world, 5) else {
                return;
            };
            let other = Signed {
                wish: Wish::Credits(request),
                names: Vec::new(),
                ..signed.clone()
            };
            misuse(world, person, &other).await;
        }
        2 if !signed.names.is_empty() => {
            tally().fault("F162");
            let caller = Caller::Anonymous;
            let again = world
                .sign(person, &caller, signed.wish.clone(), signed.names.clone())
                .await;
            if let Some(again) = again {
                world.send(person, || caller.clone(), &again).await;
            }
        }
        3 if !signed.names.is_empty() => {
            tally().fault("F157");
            let caller = Caller::Anonymous;
            let names = signed.names.clone();
            let Some(request) = machine(world) else {
                return;
            };
            let other = world
                .sign(person, &caller, Wish::Machine(request), names)
                .await;
            if let Some(other) = other {
                misuse(world, person, &other).await;
            }
        }
        4 => {
            let caller = Caller::Anonymous;
            world.send(person, || caller.clone(), signed).await;
        }
        _ => {}
    }
}

/// Sends what is not the payment's own request; what it buys is held against the proof in the end.
async fn misuse(world: &Rc<World>, person: &Rc<Person>, signed: &Signed) {
    use compute_engine::{Funding, PurchaseTerms};
    let terms = PurchaseTerms {
        request_keys: signed.names.clone(),
        ..PurchaseTerms::plain(
            Funding::Payment(PaymentProof::X402(signed.payload.clone())),
            "https://compute.example/",
        )
    };
    let caller = person.signed(world);
    let answer = world.buy("buy", caller, signed.wish.clone(), terms).await;
    match answer {
        Some(Ok(reply)) => {
            let mut witness = world.witness.borrow_mut();
            let by_proof = witness.by_proof.entry(signed.proof_key.clone());
            by_proof.or_default().insert(reply.operation);
            for name in &signed.names {
                let key = (person.number, name.to_string());
                witness
                    .by_name
                    .entry(key)
                    .or_default()
                    .insert(reply.operation);
            }
        }
        Some(Err(error)) => world.refused("misuse", &error),
        None => {}
    }
}

fn credits(world: &World, dollars: i64) -> Option<TopupRequest> {
    Some(TopupRequest {
        amount: Usd::from_micros(dollars * 1_000_000).ok()?,
        network: network(world)?,
    })
}

async fn top_up(world: &Rc<World>, person: &Rc<Person>) {
    let dollars = world.reactor.dice.range(1, 4);
    let Some(request) = credits(world, dollars) else {
        return;
    };
    let caller = person.signed(world);
    let names = maybe_name(world);
    let signed = world.sign(person, &caller, Wish::Credits(request), names);
    let Some(signed) = signed.await else { return };
    world.send(person, || person.signed(world), &signed).await;
    if world.reactor.dice.chance(200) {
        abuse(world, person, &signed).await;
    }
}

/// Credits are spent, often several times at once, so that a balance is fought over.
async fn spend(world: &Rc<World>, person: &Rc<Person>) {
    let dice = &world.reactor.dice;
    let copies = if dice.chance(400) {
        dice.index(5) + 2
    } else {
        1
    };
    if copies > 1 {
        lock(&world.reactor.tally).fault("F151");
    }
    let api_keys = person.api_keys.borrow().clone();
    let by_key = dice.pick(&api_keys).filter(|_| dice.chance(400)).cloned();
    let mut purchases = Vec::new();
    for _ in 0..copies {
        let caller = by_key.clone();
        let wish = spending(world, person);
        let name = if dice.chance(500) {
            new_name(world)
        } else {
            None
        };
        let maximum = dice.chance(100).then(|| Usd::from_micros(500_000).ok());
        purchases.push(async move {
            let Some(wish) = wish else { return };
            let caller = || caller.clone().unwrap_or_else(|| person.signed(world));
            world
                .spend(person, caller, wish, name, maximum.flatten())
                .await;
        });
    }
    join_all(purchases).await;
}

fn spending(world: &World, person: &Person) -> Option<Wish> {
    let own = person.instances.borrow();
    match world.reactor.dice.pick(&own) {
        Some(id) if world.reactor.dice.chance(500) => Some(Wish::Time(*id, one_day(world)?)),
        _ => machine(world).map(Wish::Machine),
    }
}

pub(crate) fn one_day(world: &World) -> Option<ExtendRequest> {
    Some(ExtendRequest {
        hours: Hours::new(24).ok()?,
        network: network(world)?,
    })
}

pub(crate) fn own_machine(world: &World, person: &Person) -> Option<InstanceId> {
    world.reactor.dice.pick(&person.instances.borrow()).copied()
}

async fn extend(world: &Rc<World>, person: &Rc<Person>, others: &[Rc<Person>]) {
    let Some(id) = own_machine(world, person) else {
        return;
    };
    let Some(request) = one_day(world) else {
        return;
    };
    let dice = &world.reactor.dice;
    // Somebody else may want to pay for it; that is refused before anything moves.
    let payer = match dice.pick(others) {
        Some(other) if dice.chance(100) => other,
        _ => person,
    };
    let caller = Caller::Anonymous;
    let wish = Wish::Time(id, request);
    let names = maybe_name(world);
    let Some(signed) = world.sign(payer, &caller, wish, names).await else {
        return;
    };
    let caller = somebody(world, person);
    if dice.chance(200) {
        let ends = join(
            world.send(payer, || anew(world, person, &caller), &signed),
            destroy_it(world, person, id),
        );
        lock(&world.reactor.tally).fault("F154");
        ends.await;
    } else {
        world
            .send(payer, || anew(world, person, &caller), &signed)
            .await;
    }
}

/// More time, paid for several times at once: the hours add up (F152).
async fn extend_much(world: &Rc<World>, person: &Rc<Person>) {
    let Some(id) = own_machine(world, person) else {
        return;
    };
    lock(&world.reactor.tally).fault("F152");
    let extensions = (0..world.reactor.dice.index(4) + 2).map(|_| async {
        let Some(request) = one_day(world) else {
            return;
        };
        let caller = Caller::Anonymous;
        let wish = Wish::Time(id, request);
        let names = new_name(world).into_iter().collect();
        if let Some(signed) = world.sign(person, &caller, wish, names).await {
            world.send(person, || caller.clone(), &signed).await;
        }
    });
    join_all(extensions).await;
}

/// The same caller, signed anew.
fn anew(world: &World, person: &Person, caller: &Caller) -> Caller {
    match caller {
        Caller::Wallet(_) => person.signed(world),
        other => other.clone(),
    }
}
