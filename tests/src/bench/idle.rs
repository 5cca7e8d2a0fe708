//! What an idle client with one subscription costs a broker in memory.
//!
//! Counted is the growth of the proportional set size, hence user memory: the sockets' kernel memory is the same
//! for every broker.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::client::Client;
use super::process::Process;

/// Clients that connect at the same time.
const AT_ONCE: usize = 50;

/// An answer to CONNECT or SUBSCRIBE fits in.
const READ_BYTES: usize = 64;

/// Until the broker has put away what connecting took.
const SETTLE: Duration = Duration::from_secs(1);

/// Bytes per client: connects `clients` of them, each subscribed to a topic of its own, and compares.
///
/// The first clients of a process are not counted, since they also pay for what is allocated once.
///
/// # Errors
/// When a client is refused or the broker's figures cannot be read.
pub fn run(process: &Process, clients: usize) -> io::Result<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut streams = connect(process.address, 0..AT_ONCE).await?;
        sleep(SETTLE / 2).await;
        let before = process.memory()?;
        streams.extend(connect(process.address, AT_ONCE..AT_ONCE + clients).await?);
        sleep(SETTLE).await;
        let after = process.memory()?;
        for stream in &streams {
            // Closed at once: 10,000 ports in TIME_WAIT would be missing in the next round.
            stream.set_zero_linger()?;
        }
        Ok((after as f64 - before as f64) / clients as f64)
    })
}

async fn connect(
    address: SocketAddr,
    indices: std::ops::Range<usize>,
) -> io::Result<Vec<tokio::net::TcpStream>> {
    let mut streams = Vec::with_capacity(indices.len());
    let mut waiting = JoinSet::new();
    for index in indices {
        if waiting.len() == AT_ONCE
            && let Some(stream) = waiting.join_next().await
        {
            streams.push(stream??);
        }
        waiting.spawn(async move {
            let mut client = Client::open(address, &format!("idle-{index}"), READ_BYTES).await?;
            client.subscribe(&format!("idle/{index}/value"), 0).await?;
            Ok::<_, io::Error>(client.into_stream())
        });
    }
    while let Some(stream) = waiting.join_next().await {
        streams.push(stream??);
    }
    Ok(streams)
}
