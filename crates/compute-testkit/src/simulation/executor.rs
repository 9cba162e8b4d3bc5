//! A tiny executor: one thread, a set of boxed futures, and a generator that says who goes next.

use core::cell::{Cell, RefCell};
use core::task::{Context, Waker};
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::future::LocalBoxFuture;

use super::reactor::{Reactor, TaskWaker};
use super::trap::Crashed;

/// The group of those who belong to no replica: clients, and whoever makes trouble.
pub(crate) const WORLD: u32 = 0;

struct Task {
    group: u32,
    /// What it does, for the count of crashes.
    label: &'static str,
    future: LocalBoxFuture<'static, ()>,
    waker: Waker,
    flag: Arc<TaskWaker>,
}

/// What one step did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stepped {
    /// A task went on, or time did.
    Ran,
    /// This group's process ended in the middle of this task.
    Crashed(u32, Victim),
    /// Nobody can go on, ever.
    Idle,
}

/// A task that died with its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Victim {
    pub(crate) label: &'static str,
    pub(crate) commits: u32,
}

/// Runs tasks.
pub(crate) struct Executor {
    pub(crate) reactor: Arc<Reactor>,
    tasks: RefCell<BTreeMap<u64, Task>>,
    frozen: RefCell<BTreeSet<u32>>,
    held: RefCell<Vec<u64>>,
    next: Cell<u64>,
}

impl Executor {
    pub(crate) fn new(reactor: Arc<Reactor>) -> Rc<Self> {
        Rc::new(Self {
            reactor,
            tasks: RefCell::default(),
            frozen: RefCell::default(),
            held: RefCell::default(),
            next: Cell::new(1),
        })
    }

    pub(crate) fn spawn(
        &self,
        group: u32,
        label: &'static str,
        future: LocalBoxFuture<'static, ()>,
    ) {
        let id = self.next.get();
        self.next.set(id + 1);
        let (waker, flag) = self.reactor.waker_of(id);
        waker.wake_by_ref();
        let task = Task {
            group,
            label,
            future,
            waker,
            flag,
        };
        self.tasks.borrow_mut().insert(id, task);
    }

    /// Drops every task of a group, as the end of its process does.
    pub(crate) fn kill(&self, group: u32) -> Vec<Victim> {
        self.frozen.borrow_mut().remove(&group);
        let mut killed = Vec::new();
        self.tasks.borrow_mut().retain(|id, task| {
            let is_other = task.group != group;
            if !is_other {
                let idle: LocalBoxFuture<'static, ()> = Box::pin(core::future::ready(()));
                killed.push((*id, task.label, core::mem::replace(&mut task.future, idle)));
            }
            is_other
        });
        let victims = killed.iter().map(|(id, label, _)| Victim {
            label,
            commits: self.reactor.commits_of(*id),
        });
        let victims = victims.collect();
        // Dropping a future may wake others, so nothing is borrowed here.
        for (id, _, future) in killed {
            drop(future);
            self.reactor.forget(id);
        }
        victims
    }

    /// A frozen group's tasks stay where they are until it goes on.
    pub(crate) fn freeze(&self, group: u32) {
        self.frozen.borrow_mut().insert(group);
    }

    pub(crate) fn thaw(&self, group: u32) {
        self.frozen.borrow_mut().remove(&group);
        let held = core::mem::take(&mut *self.held.borrow_mut());
        for id in held {
            if let Some(task) = self.tasks.borrow().get(&id) {
                task.flag.is_queued.store(false, Ordering::Relaxed);
                task.waker.wake_by_ref();
            }
        }
    }

    /// Lets one task go on; moves time when all wait.
    pub(crate) fn step(&self) -> Stepped {
        let Some(id) = self.reactor.take_ready() else {
            return if self.reactor.advance() {
                Stepped::Ran
            } else {
                Stepped::Idle
            };
        };
        let taken = self.tasks.borrow_mut().remove(&id);
        let Some(mut task) = taken else {
            return Stepped::Ran;
        };
        if self.frozen.borrow().contains(&task.group) {
            self.held.borrow_mut().push(id);
            self.tasks.borrow_mut().insert(id, task);
            return Stepped::Ran;
        }
        task.flag.is_queued.store(false, Ordering::Relaxed);
        self.reactor.enter(id);
        let waker = task.waker.clone();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            task.future.as_mut().poll(&mut Context::from_waker(&waker))
        }));
        self.reactor.enter(0);
        match polled {
            Ok(poll) if poll.is_pending() => {
                self.tasks.borrow_mut().insert(id, task);
                Stepped::Ran
            }
            Ok(_) => {
                self.reactor.forget(id);
                Stepped::Ran
            }
            Err(payload) => {
                let group = task.group;
                let victim = Victim {
                    label: task.label,
                    commits: self.reactor.commits_of(id),
                };
                drop(task);
                self.reactor.forget(id);
                self.fallen(group, victim, payload.as_ref())
            }
        }
    }

    fn fallen(&self, group: u32, victim: Victim, payload: &(dyn Any + Send)) -> Stepped {
        if let Some(crashed) = payload.downcast_ref::<Crashed>() {
            self.reactor
                .log(&format_args!("crash of {group} at {}", crashed.0));
            return Stepped::Crashed(group, victim);
        }
        let text = payload.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        let text = text.unwrap_or_else(|| "no text".to_owned());
        self.reactor.violate("panic", text);
        Stepped::Ran
    }
}
