//! What a connection has done lately, and what follows from it.
//!
//! Requests only count up; one timer per connection looks at the counts. So a limit is kept to
//! within one interval, and a request costs no timer. Only floods are judged at every read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::Frames;
use crate::settings::limits::ListenerLimits;

/// Frames of HTTP/2 that ask for nothing which a connection may send between two looks, and as many more for each request
/// that begins meanwhile: pings, and windows that are opened while answers are read.
const IDLE_FRAMES: u32 = 1_000;
const IDLE_FRAMES_OF_A_REQUEST: u32 = 100;

/// Counts of one connection.
#[derive(Debug)]
pub(super) struct Activity {
    /// Counts what happens on all connections.
    happened: Arc<AtomicU64>,
    /// `happened` at the last answer, or at the begin.
    last_use: AtomicU64,
    received: AtomicU64,
    /// `received` when the last request was answered: what is beyond it belongs to the next head.
    received_until_answer: AtomicU64,
    begun: AtomicU32,
    ended: AtomicU32,
    is_http2: AtomicBool,
    /// Frames that ask for nothing, since the last look.
    idle_frames: AtomicU32,
    /// `begun` at the last look.
    begun_at_look: AtomicU32,
    has_flooded: AtomicBool,
}

impl Activity {
    /// Of a connection that began at `now`, as `happened` counts.
    pub(super) fn new(now: u64, happened: Arc<AtomicU64>) -> Self {
        Self {
            happened,
            last_use: AtomicU64::new(now),
            received: AtomicU64::new(0),
            received_until_answer: AtomicU64::new(0),
            begun: AtomicU32::new(0),
            ended: AtomicU32::new(0),
            is_http2: AtomicBool::new(false),
            idle_frames: AtomicU32::new(0),
            begun_at_look: AtomicU32::new(0),
            has_flooded: AtomicBool::new(false),
        }
    }

    /// Whether a request is in progress.
    pub(super) fn is_busy(&self) -> bool {
        self.begun.load(Ordering::Relaxed) != self.ended.load(Ordering::Relaxed)
    }

    /// Whether it ever sent too much that asks for nothing.
    pub(super) fn has_flooded(&self) -> bool {
        self.has_flooded.load(Ordering::Relaxed)
    }

    /// Whether a request has been answered.
    pub(super) fn has_answered(&self) -> bool {
        self.ended.load(Ordering::Relaxed) > 0
    }

    /// When it was of use last, for comparison only.
    pub(super) fn last_use(&self) -> u64 {
        self.last_use.load(Ordering::Relaxed)
    }

    /// The head of a request is complete; it is in progress as long as what comes back lives.
    pub(super) fn begin(self: &Arc<Self>, is_http2: bool) -> UnderWay {
        self.request_begins(is_http2);
        UnderWay(Arc::clone(self))
    }

    /// The head of a request is complete.
    pub(super) fn request_begins(&self, is_http2: bool) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        if is_http2 {
            self.is_http2.store(true, Ordering::Relaxed);
        }
    }

    /// The answer to a request is ready.
    pub(super) fn request_ends(&self) {
        let now = self.happened.fetch_add(1, Ordering::Relaxed);
        self.last_use.store(now, Ordering::Relaxed);
        self.ended.fetch_add(1, Ordering::Relaxed);
        self.received_until_answer
            .store(self.received.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    fn receive(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Frames that ask for nothing have come; whether they are too many.
    fn idles(&self, frames: u32) -> bool {
        let idle = self.idle_frames.fetch_add(frames, Ordering::Relaxed);
        let begun = self.begun.load(Ordering::Relaxed);
        let requests = begun.wrapping_sub(self.begun_at_look.load(Ordering::Relaxed));
        let allowed = requests
            .saturating_mul(IDLE_FRAMES_OF_A_REQUEST)
            .saturating_add(IDLE_FRAMES);
        let is_flood = idle.saturating_add(frames) > allowed;
        if is_flood {
            self.has_flooded.store(true, Ordering::Relaxed);
        }
        is_flood
    }

    /// Begins to count anew.
    fn forgive(&self, begun: u32) {
        self.idle_frames.store(0, Ordering::Relaxed);
        self.begun_at_look.store(begun, Ordering::Relaxed);
    }
}

/// A request in progress, until this is dropped: when it is answered, or when its client has taken it
/// back (a stream of HTTP/2 that is reset drops what would have answered it).
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Activity>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.request_ends();
    }
}

/// What to do with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Fine,
    /// Take no more requests on it.
    Finish,
    /// Close it at once.
    Cut,
}

/// Judges one connection from one look to the next.
#[derive(Debug)]
pub(super) struct Watch {
    interval: Duration,
    head_looks: u32,
    idle_looks: u32,
    begun: u32,
    looks_with_half_a_head: u32,
    looks_without_a_request: u32,
}

impl Watch {
    pub(super) fn new(limits: &ListenerLimits) -> Self {
        let interval = (limits.header_read / 4).max(Duration::from_millis(100));
        let looks = |limit: Duration| {
            u32::try_from(limit.as_millis().div_ceil(interval.as_millis().max(1)))
                .unwrap_or(u32::MAX)
        };
        Self {
            interval,
            head_looks: looks(limits.header_read),
            idle_looks: looks(limits.idle),
            begun: 0,
            looks_with_half_a_head: 0,
            looks_without_a_request: 0,
        }
    }

    /// How often to look.
    pub(super) const fn interval(&self) -> Duration {
        self.interval
    }

    /// Looks once.
    pub(super) fn look(&mut self, activity: &Activity) -> Verdict {
        let begun = activity.begun.load(Ordering::Relaxed);
        activity.forgive(begun);
        if activity.is_busy() || begun != self.begun {
            self.begun = begun;
            self.looks_with_half_a_head = 0;
            self.looks_without_a_request = 0;
            return Verdict::Fine;
        }
        self.looks_without_a_request = self.looks_without_a_request.saturating_add(1);
        let received = activity.received.load(Ordering::Relaxed);
        let has_more = received != activity.received_until_answer.load(Ordering::Relaxed);
        // HTTP/2 also talks between requests. The first request is due soon whatever was sent.
        let is_in_head = has_more && !activity.is_http2.load(Ordering::Relaxed);
        self.looks_with_half_a_head = if is_in_head || begun == 0 {
            self.looks_with_half_a_head.saturating_add(1)
        } else {
            0
        };
        if self.looks_with_half_a_head >= self.head_looks
            || self.looks_without_a_request > self.idle_looks
        {
            Verdict::Cut
        } else if self.looks_without_a_request == self.idle_looks {
            Verdict::Finish
        } else {
            Verdict::Fine
        }
    }
}

/// A stream that counts what it receives, and breaks when it is flooded.
#[derive(Debug)]
pub(super) struct Metered<S> {
    stream: S,
    activity: Arc<Activity>,
    /// Nothing, where many clients stand behind it.
    frames: Option<Frames>,
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>, is_exempt: bool) -> Self {
        Self {
            stream,
            activity,
            frames: (!is_exempt).then(Frames::new),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let new = buffer.filled().get(before..).unwrap_or_default();
        self.activity.receive(new.len());
        let idle = self.frames.as_mut().map_or(0, |frames| frames.read(new));
        if self.activity.idles(idle) {
            return Poll::Ready(Err(io::Error::other(
                "a flood of frames that ask for nothing",
            )));
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head may take 4 looks, idleness 24.
    fn watch() -> Watch {
        Watch::new(&ListenerLimits {
            header_read: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            connections: 1,
            connections_per_address: 1,
            exempt_loopback: false,
            trusted_proxies: Vec::new(),
            is_behind_proxies: false,
        })
    }

    fn activity() -> Activity {
        Activity::new(0, Arc::default())
    }

    fn look_until_not_fine(
        watch: &mut Watch,
        mut between: impl FnMut(),
        activity: &Activity,
    ) -> (u32, Verdict) {
        for look in 1..100 {
            between();
            let verdict = watch.look(activity);
            if verdict != Verdict::Fine {
                return (look, verdict);
            }
        }
        (100, Verdict::Fine)
    }

    #[test]
    fn the_first_request_is_due_within_the_time_for_a_head() {
        let (activity, mut watch) = (activity(), watch());
        assert_eq!(
            look_until_not_fine(&mut watch, || {}, &activity),
            (4, Verdict::Cut)
        );
    }

    #[test]
    fn a_head_that_comes_byte_by_byte_is_cut() {
        let (activity, mut watch) = (activity(), watch());
        activity.receive(100);
        activity.request_begins(false);
        activity.request_ends();
        assert_eq!(watch.look(&activity), Verdict::Fine);
        assert_eq!(
            look_until_not_fine(&mut watch, || activity.receive(1), &activity),
            (4, Verdict::Cut)
        );
    }

    #[test]
    fn an_idle_connection_is_finished_and_then_cut() {
        for is_http2 in [false, true] {
            let (activity, mut watch) = (activity(), watch());
            activity.receive(100);
            activity.request_begins(is_http2);
            activity.request_ends();
            assert_eq!(watch.look(&activity), Verdict::Fine);
            // HTTP/2 answers pings while it is idle.
            let pong = || activity.receive(if is_http2 { 17 } else { 0 });
            assert_eq!(
                look_until_not_fine(&mut watch, pong, &activity),
                (24, Verdict::Finish)
            );
            assert_eq!(watch.look(&activity), Verdict::Cut);
        }
    }

    #[test]
    fn a_request_that_is_being_answered_may_take_its_time() {
        let (activity, mut watch) = (activity(), watch());
        activity.request_begins(false);
        assert_eq!(
            look_until_not_fine(&mut watch, || {}, &activity),
            (100, Verdict::Fine)
        );
    }

    #[test]
    fn a_busy_connection_is_left_alone() {
        let (activity, mut watch) = (activity(), watch());
        let request = || {
            activity.receive(100);
            activity.request_begins(false);
            activity.request_ends();
        };
        assert_eq!(
            look_until_not_fine(&mut watch, request, &activity),
            (100, Verdict::Fine)
        );
    }

    #[test]
    fn too_many_frames_that_ask_for_nothing_are_a_flood() {
        let (activity, mut watch) = (activity(), watch());
        assert!(!activity.idles(IDLE_FRAMES));
        watch.look(&activity);
        assert!(!activity.idles(IDLE_FRAMES));
        activity.request_begins(true);
        assert!(!activity.idles(IDLE_FRAMES_OF_A_REQUEST));
        assert!(!activity.has_flooded());
        assert!(activity.idles(1));
        watch.look(&activity);
        assert!(activity.has_flooded());
    }
}
