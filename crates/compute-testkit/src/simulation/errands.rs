//! What customers do about what they have: machines, passwords, keys, and other people's things.

use std::rc::Rc;
use std::sync::Arc;

use compute_domain::catalog::PlanId;
use compute_domain::id::InstanceId;
use compute_domain::money::Usd;
use compute_domain::owner::{Scope, Scopes};
use compute_engine::{ApiKeyTerms, Caller, Error, ResizeRequest};
use futures::future::{join, join_all};
use secrecy::ExposeSecret as _;

use super::cluster::World;
use super::people::{Person, Wish};
use super::reactor::lock;
use super::workload::{one_day, own_machine};

pub(crate) async fn destroy(world: &Rc<World>, person: &Rc<Person>) {
    let Some(id) = own_machine(world, person) else {
        return;
    };
    if world.reactor.dice.chance(300) {
        lock(&world.reactor.tally).fault("F154");
        join(destroy_it(world, person, id), destroy_it(world, person, id)).await;
    } else {
        destroy_it(world, person, id).await;
    }
}

pub(crate) async fn destroy_it(world: &Rc<World>, person: &Rc<Person>, id: InstanceId) {
    let caller = person.signed(world);
    // It may happen although no answer comes, or the answer of a commit that was not confirmed.
    world.witness.borrow_mut().destroyed.insert(id);
    let spawner = Rc::clone(world);
    let answer = world.call("destroy", move |engine, group| {
        Box::pin(async move {
            let submitted = engine.destroy(&caller, id).await?;
            let worker = Arc::clone(&engine);
            let work = Box::pin(async move { worker.work(submitted).await });
            spawner.spawn_on(group, "work", work);
            Ok::<_, Error>(())
        })
    });
    match answer.await {
        Some(Ok(())) => world.told("destroyed"),
        Some(Err(error)) => world.refused("destroy", &error),
        None => {}
    }
}

/// The other plan of the machine's cloud; now and then at once with the machine's end.
pub(crate) async fn resize(world: &Rc<World>, person: &Rc<Person>) {
    let Some(id) = own_machine(world, person) else {
        return;
    };
    let dice = &world.reactor.dice;
    if dice.chance(200) {
        lock(&world.reactor.tally).fault("F119");
        join(resize_it(world, person, id), destroy_it(world, person, id)).await;
    } else if dice.chance(200) {
        lock(&world.reactor.tally).fault("F119");
        join(resize_it(world, person, id), resize_it(world, person, id)).await;
    } else {
        resize_it(world, person, id).await;
    }
}

async fn resize_it(world: &Rc<World>, person: &Rc<Person>, id: InstanceId) {
    let plans = [
        "vc2-1c-1gb",
        "vc2-2c-4gb",
        "do:s-1vcpu-1gb",
        "do:s-2vcpu-2gb",
    ];
    let plan = world
        .reactor
        .dice
        .pick(&plans)
        .and_then(|id| PlanId::parse(id).ok());
    let Some(plan) = plan else { return };
    let request = ResizeRequest {
        plan,
        confirm_disk: true,
    };
    let caller = person.signed(world);
    let spawner = Rc::clone(world);
    let answer = world.call("resize", move |engine, group| {
        Box::pin(async move {
            let (submitted, _) = engine.resize(&caller, id, &request).await?;
            let worker = Arc::clone(&engine);
            let work = Box::pin(async move { worker.work(submitted).await });
            spawner.spawn_on(group, "work", work);
            Ok::<_, Error>(())
        })
    });
    match answer.await {
        Some(Ok(())) => world.told("resizing"),
        Some(Err(error)) => world.refused("resize", &error),
        None => {}
    }
}

pub(crate) async fn read_password(world: &Rc<World>, person: &Rc<Person>) {
    let Some(id) = own_machine(world, person) else {
        return;
    };
    let dice = &world.reactor.dice;
    let copies = if dice.chance(400) {
        dice.index(7) + 2
    } else {
        1
    };
    if copies > 1 {
        lock(&world.reactor.tally).fault("F155");
    }
    let reads = (0..copies).map(|_| async {
        let caller = person.signed(world);
        let answer = world.call("password", move |engine, _| {
            Box::pin(async move { engine.take_password(&caller, id).await })
        });
        match answer.await {
            Some(Ok(access)) => {
                world.told("password");
                let text = access.password.expose_secret().to_owned();
                let mut witness = world.witness.borrow_mut();
                witness.passwords.entry(id).or_default().push(text);
            }
            Some(Err(error)) => world.refused("password", &error),
            None => {}
        }
    });
    join_all(reads).await;
}

pub(crate) async fn make_key(world: &Rc<World>, person: &Rc<Person>) {
    let caller = person.signed(world);
    let dice = &world.reactor.dice;
    let budget = dice
        .chance(600)
        .then(|| Usd::from_micros(dice.range(1, 4) * 500_000).ok());
    let scopes = if dice.chance(200) {
        Scopes::of(&[Scope::Read]).unwrap_or(Scopes::ALL)
    } else {
        Scopes::ALL
    };
    let terms = ApiKeyTerms {
        budget: budget.flatten(),
        scopes,
        ..ApiKeyTerms::default()
    };
    let answer = world.call("api-key", move |engine, _| {
        Box::pin(async move { engine.create_api_key(&caller, terms).await })
    });
    match answer.await {
        Some(Ok(new)) => {
            world.told("key");
            person.api_keys.borrow_mut().push(Caller::ApiKey {
                id: new.api_key.id,
                owner: new.api_key.owner,
                scopes: new.api_key.scopes,
            });
        }
        Some(Err(error)) => world.refused("key", &error),
        None => {}
    }
}

/// One signature on two replicas at once: one of them answers.
pub(crate) async fn read_twice(world: &Rc<World>, person: &Rc<Person>) {
    lock(&world.reactor.tally).fault("F159");
    let caller = person.signed(world);
    let Caller::Wallet(wallet) = &caller else {
        return;
    };
    let nonce = wallet.nonce.as_str().to_owned();
    let reads = (0..2).map(|_| async {
        let caller = caller.clone();
        let answer = world.call("read", move |engine, _| {
            Box::pin(async move { engine.balance(&caller).await })
        });
        match answer.await {
            Some(Ok(_)) => {
                let mut witness = world.witness.borrow_mut();
                let accepted = witness.signatures.entry(nonce.clone()).or_default();
                *accepted += 1;
                if *accepted > 1 {
                    let detail = format!("signature {nonce} was accepted twice");
                    world.reactor.violate("A1", detail);
                }
            }
            Some(Err(error)) => world.refused("read", &error),
            None => {}
        }
    });
    join_all(reads).await;
}

/// Somebody else's machine is nobody's.
pub(crate) async fn peek(world: &Rc<World>, person: &Rc<Person>, others: &[Rc<Person>]) {
    let dice = &world.reactor.dice;
    let Some(other) = dice
        .pick(others)
        .filter(|other| other.number != person.number)
    else {
        return;
    };
    let Some(id) = own_machine(world, other) else {
        return;
    };
    let caller = person.signed(world);
    let wants_password = dice.chance(500);
    let answer = world.call("peek", move |engine, _| {
        Box::pin(async move {
            if wants_password {
                engine.take_password(&caller, id).await.map(|_| ())
            } else {
                engine.destroy(&caller, id).await.map(|_| ())
            }
        })
    });
    match answer.await {
        Some(Ok(())) => {
            let detail = format!("{id} obeyed a stranger");
            world.reactor.violate("A4", detail);
        }
        Some(Err(error)) => world.refused("peek", &error),
        None => {}
    }
}

/// More time, bought in the second in which it is over (F153).
pub(crate) async fn extend_at_the_end(world: &Rc<World>, person: &Rc<Person>) {
    use compute_engine::ports::{Store as _, TxMode};
    let Some(id) = own_machine(world, person) else {
        return;
    };
    let end = {
        let Ok(mut tx) = world.store.begin(TxMode::Read).await else {
            return;
        };
        match tx.find_instance(id).await {
            Ok(Some(instance)) if instance.placement().is_some() => instance.expires_at(),
            _ => return,
        }
    };
    let grace = if world.reactor.dice.chance(500) {
        3_600_000
    } else {
        0
    };
    let at = end.millis() + grace + world.reactor.dice.range(-3_000, 2_000);
    if at < world.reactor.millis() || world.reactor.dice.chance(500) {
        return;
    }
    lock(&world.reactor.tally).fault("F153");
    world.reactor.sleep_until(at - 1_000).await;
    let Some(request) = one_day(world) else {
        return;
    };
    let caller = Caller::Anonymous;
    let signed = world.sign(person, &caller, Wish::Time(id, request), Vec::new());
    let Some(signed) = signed.await else { return };
    world.send(person, || caller.clone(), &signed).await;
}
