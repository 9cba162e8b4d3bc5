//! The attacks of reliability.md 6.11: each holds or uses up something that others need.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::frames;

/// Connections from one address: below what the server allows, so that each gets through.
const PER_ADDRESS: u32 = 400;

/// Pause after a connection ended or was refused, before the next one.
const PAUSE: Duration = Duration::from_millis(20);

/// The same for each of ten thousand: most of them are let in and wait, and those that are not try again, thousands
/// each second, on a machine that the server shares with them. Not all at the same moment: each has its own pause, from
/// half of this to one and a half.
const PAUSE_IN_A_CROWD: Duration = Duration::from_secs(1);

/// Between two bytes of a slow head.
const DRIP: Duration = Duration::from_millis(500);

/// Frames that are sent at once.
const FRAMES: u32 = 64;

/// Headers of a bomb, and bytes of each.
const BOMB: (u32, usize) = (100, 64 * 1_024);

/// Ways to attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Connects, and says nothing.
    Idle,
    /// Sends a head byte by byte.
    SlowHeads,
    /// Sends a hundred headers of 64 KiB.
    HeaderBombs,
    /// Resets each request as soon as it is sent.
    RapidReset,
    /// Sends a head without an end.
    EndlessHead,
    /// Asks whether the server is there, and never reads that it is.
    Pings,
    /// Changes its settings, and never reads that they are known.
    Settings,
    /// Opens a thousand requests without an end.
    OpenStreams,
    /// Asks, and lets no answer through.
    TinyWindows,
}

impl Kind {
    fn pause(self, number: u32) -> Duration {
        let share = number % 100;
        match self {
            Self::Idle => PAUSE_IN_A_CROWD / 2 + PAUSE_IN_A_CROWD * share / 100,
            _ => PAUSE,
        }
    }
}

/// Attacks from a network of 127.0.0.0/8 over so many connections, until the standard input ends.
pub(crate) async fn run(
    server: SocketAddr,
    kind: Kind,
    network: u8,
    connections: u32,
) -> anyhow::Result<()> {
    let network = Ipv4Addr::new(127, network, 0, 1);
    let mut attackers = JoinSet::new();
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    for number in 0..connections {
        let arrived = arrived.clone();
        attackers.spawn(async move {
            loop {
                let connected = connect(server, network, number).await;
                // Nobody listens any more once all have come.
                let _ = arrived.send(connected.is_ok());
                // However it ends, it begins again.
                if let Ok(stream) = connected {
                    let _ended = attack(kind, stream).await;
                }
                sleep(kind.pause(number)).await;
            }
        });
    }
    for _ in 0..connections {
        arrivals.recv().await.context("all attackers have ended")?;
    }
    drop(arrivals);
    writeln!(std::io::stdout(), "begun").context("say that it has begun")?;
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await?;
    attackers.abort_all();
    Ok(())
}

/// A connection from one of the many addresses of the loopback network.
async fn connect(server: SocketAddr, network: Ipv4Addr, number: u32) -> std::io::Result<TcpStream> {
    let address = u32::from(network).saturating_add(number / PER_ADDRESS);
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::from(address), 0)))?;
    socket.connect(server).await
}

async fn attack(kind: Kind, mut stream: TcpStream) -> std::io::Result<()> {
    match kind {
        Kind::Idle => read_to_end(&mut stream).await,
        Kind::SlowHeads => drip(&mut stream).await,
        Kind::HeaderBombs => bomb(&mut stream).await,
        Kind::RapidReset => {
            flood(&mut stream, |bytes, stream| {
                frames::request(bytes, stream);
                frames::reset(bytes, stream);
            })
            .await
        }
        Kind::EndlessHead => {
            stream.write_all(&frames::greeting(None)).await?;
            let mut bytes = Vec::new();
            frames::endless_head(&mut bytes, 1);
            stream.write_all(&bytes).await?;
            repeat(&mut stream, |bytes, _| frames::continuation(bytes, 1)).await
        }
        Kind::Pings => flood(&mut stream, |bytes, _| frames::ping(bytes)).await,
        Kind::Settings => flood(&mut stream, |bytes, _| frames::settings(bytes)).await,
        Kind::OpenStreams => open(&mut stream, None, frames::request_without_end).await,
        Kind::TinyWindows => open(&mut stream, Some(0), frames::request).await,
    }
}

async fn read_to_end(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut bytes = [0; 4_096];
    while stream.read(&mut bytes).await? > 0 {}
    Ok(())
}

async fn drip(stream: &mut TcpStream) -> std::io::Result<()> {
    stream
        .write_all(b"GET /compute/plans HTTP/1.1\r\nhost: abuse\r\nx: ")
        .await?;
    loop {
        stream.write_all(b"x").await?;
        sleep(DRIP).await;
    }
}

async fn bomb(stream: &mut TcpStream) -> std::io::Result<()> {
    stream
        .write_all(b"GET /compute/plans HTTP/1.1\r\nhost: abuse\r\n")
        .await?;
    let (headers, bytes) = BOMB;
    let value = vec![b'b'; bytes];
    for number in 0..headers {
        stream.write_all(format!("x-{number}: ").as_bytes()).await?;
        stream.write_all(&value).await?;
        stream.write_all(b"\r\n").await?;
    }
    stream.write_all(b"\r\n").await?;
    read_to_end(stream).await
}

/// Greets, and then sends frames without reading what comes of it.
async fn flood(stream: &mut TcpStream, add: impl Fn(&mut Vec<u8>, u32)) -> std::io::Result<()> {
    stream.write_all(&frames::greeting(None)).await?;
    repeat(stream, add).await
}

async fn repeat(stream: &mut TcpStream, add: impl Fn(&mut Vec<u8>, u32)) -> std::io::Result<()> {
    let mut next = 1_u32;
    loop {
        let mut bytes = Vec::new();
        for _ in 0..FRAMES {
            add(&mut bytes, next);
            // Streams of a client are odd.
            next = next.wrapping_add(2);
        }
        stream.write_all(&bytes).await?;
    }
}

/// Opens a thousand streams, reads what the server says, and keeps what stays open.
async fn open(
    stream: &mut TcpStream,
    window: Option<u32>,
    add: impl Fn(&mut Vec<u8>, u32),
) -> std::io::Result<()> {
    let mut bytes = frames::greeting(window);
    for number in 0..1_000_u32 {
        add(&mut bytes, number.saturating_mul(2).saturating_add(1));
    }
    stream.write_all(&bytes).await?;
    read_to_end(stream).await
}
