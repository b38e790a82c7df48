//! Channels and `select!`.

use gosched_compare::{LAST_PRIME, PRIMES, RING};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// A kind of channel: tokio's own, or that of a crate.
pub trait Kind: 'static {
    type Tx: Clone + Send + Sync + 'static;
    type Rx: Send + 'static;
    fn channel(places: usize) -> (Self::Tx, Self::Rx);
    fn send(tx: &Self::Tx, v: u64) -> impl Future<Output = ()> + Send;
    /// `None` when all senders are gone.
    fn recv(rx: &mut Self::Rx) -> impl Future<Output = Option<u64>> + Send;
}

/// tokio's, with at least one place.
pub struct Mpsc;

impl Kind for Mpsc {
    type Tx = mpsc::Sender<u64>;
    type Rx = mpsc::Receiver<u64>;

    fn channel(places: usize) -> (Self::Tx, Self::Rx) {
        mpsc::channel(places.max(1))
    }

    async fn send(tx: &Self::Tx, v: u64) {
        tx.send(v).await.expect("there is a receiver");
    }

    async fn recv(rx: &mut Self::Rx) -> Option<u64> {
        rx.recv().await
    }
}

/// kanal's.
pub struct Kanal;

impl Kind for Kanal {
    type Tx = kanal::AsyncSender<u64>;
    type Rx = kanal::AsyncReceiver<u64>;

    fn channel(places: usize) -> (Self::Tx, Self::Rx) {
        kanal::bounded_async(places)
    }

    async fn send(tx: &Self::Tx, v: u64) {
        tx.send(v).await.expect("there is a receiver");
    }

    async fn recv(rx: &mut Self::Rx) -> Option<u64> {
        rx.recv().await.ok()
    }
}

/// async-channel's, with at least one place.
pub struct AsyncChannel;

impl Kind for AsyncChannel {
    type Tx = async_channel::Sender<u64>;
    type Rx = async_channel::Receiver<u64>;

    fn channel(places: usize) -> (Self::Tx, Self::Rx) {
        async_channel::bounded(places.max(1))
    }

    async fn send(tx: &Self::Tx, v: u64) {
        tx.send(v).await.expect("there is a receiver");
    }

    async fn recv(rx: &mut Self::Rx) -> Option<u64> {
        rx.recv().await.ok()
    }
}

/// A value goes over and comes back, `n` times.
pub async fn pingpong<C: Kind>(n: u64) -> Duration {
    let (there, mut inn) = C::channel(0);
    let (out, mut back) = C::channel(0);
    let began = Instant::now();
    tokio::spawn(async move {
        while let Some(v) = C::recv(&mut inn).await {
            C::send(&out, v).await;
        }
    });
    for i in 0..n {
        C::send(&there, i).await;
        assert_eq!(C::recv(&mut back).await, Some(i));
    }
    began.elapsed()
}

/// Receives until the senders are gone.
async fn count<C: Kind>(mut rx: C::Rx) -> u64 {
    let mut got = 0;
    while C::recv(&mut rx).await.is_some() {
        got += 1;
    }
    got
}

/// One sends, one receives, 128 places between them.
pub async fn buffered<C: Kind>(n: u64) -> Duration {
    let (tx, rx) = C::channel(128);
    let began = Instant::now();
    tokio::spawn(async move {
        for i in 0..n {
            C::send(&tx, i).await;
        }
    });
    let got = count::<C>(rx).await;
    let took = began.elapsed();
    assert_eq!(got, n);
    took
}

/// Four send, four receive.
pub async fn mpmc<C: Kind>(n: u64) -> Duration
where
    C::Rx: Clone,
{
    let (tx, rx) = C::channel(128);
    let began = Instant::now();
    let receivers: Vec<_> = (0..4)
        .map(|_| {
            let tx = tx.clone();
            tokio::spawn(async move {
                for i in 0..n {
                    C::send(&tx, i).await;
                }
            });
            tokio::spawn(count::<C>(rx.clone()))
        })
        .collect();
    drop((tx, rx));
    let mut got = 0;
    for r in receivers {
        got += r.await.expect("no panic");
    }
    let took = began.elapsed();
    assert_eq!(got, 4 * n);
    took
}

/// `K` channels, each with a task that sends `n` values.
fn sources<const K: usize>(n: u64) -> [mpsc::Receiver<u64>; K] {
    std::array::from_fn(|_| {
        let (tx, rx) = mpsc::channel(1);
        tokio::spawn(async move {
            for i in 0..n {
                tx.send(i).await.expect("there is a receiver");
            }
        });
        rx
    })
}

pub async fn select2(n: u64) -> Duration {
    let began = Instant::now();
    let [mut a, mut b] = sources(n);
    for _ in 0..2 * n {
        tokio::select! {
            Some(_) = a.recv() => {}
            Some(_) = b.recv() => {}
        }
    }
    began.elapsed()
}

pub async fn select8(n: u64) -> Duration {
    let began = Instant::now();
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = sources(n);
    for _ in 0..8 * n {
        tokio::select! {
            Some(_) = a.recv() => {}
            Some(_) = b.recv() => {}
            Some(_) = c.recv() => {}
            Some(_) = d.recv() => {}
            Some(_) = e.recv() => {}
            Some(_) = f.recv() => {}
            Some(_) = g.recv() => {}
            Some(_) = h.recv() => {}
        }
    }
    began.elapsed()
}

/// A number goes round a ring of a thousand tasks; each takes one off. Who sees zero ends, and with its channel its
/// successor, and so on.
pub async fn ring<C: Kind>(hops: u64) -> Duration {
    let hops = hops / RING * RING;
    let (first, mut input) = C::channel(0);
    let mut last = None;
    for i in 1..=RING {
        let (mut out, next) = C::channel(0);
        if i == RING {
            out = first.clone();
        }
        let mut inn = std::mem::replace(&mut input, next);
        last = Some(tokio::spawn(async move {
            while let Some(v) = C::recv(&mut inn).await {
                if v == 0 {
                    break;
                }
                C::send(&out, v - 1).await;
            }
        }));
    }
    let began = Instant::now();
    C::send(&first, hops).await;
    last.expect("the ring has tasks").await.expect("no panic");
    began.elapsed()
}

/// Finds primes: a chain of filters, one task for each prime found.
pub async fn sieve<C: Kind>() -> Duration {
    let began = Instant::now();
    let (out, mut input) = C::channel(0);
    tokio::spawn(async move {
        for i in 2..=LAST_PRIME {
            C::send(&out, i).await;
        }
    });
    let mut found = 0;
    while let Some(prime) = C::recv(&mut input).await {
        found += 1;
        let (out, next) = C::channel(0);
        let mut inn = std::mem::replace(&mut input, next);
        tokio::spawn(async move {
            while let Some(v) = C::recv(&mut inn).await {
                if v % prime != 0 {
                    C::send(&out, v).await;
                }
            }
        });
    }
    assert_eq!(found, PRIMES);
    began.elapsed()
}

/// A tree of tasks, ten to a node, with `leaves` leaves; sums go up.
pub async fn skynet(leaves: u64) -> Duration {
    // An async function that calls itself needs a box.
    fn node(
        up: mpsc::Sender<u64>,
        number: u64,
        leaves: u64,
    ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let mut sum = number;
            if leaves > 1 {
                let (tx, mut sums) = mpsc::channel(1);
                let part = leaves / 10;
                for i in 0..10 {
                    tokio::spawn(node(tx.clone(), number + i * part, part));
                }
                drop(tx);
                sum = 0;
                while let Some(part) = sums.recv().await {
                    sum += part;
                }
            }
            up.send(sum).await.expect("there is a receiver");
        })
    }
    let began = Instant::now();
    let (up, mut sum) = mpsc::channel(1);
    tokio::spawn(node(up, 0, leaves));
    assert_eq!(sum.recv().await, Some(leaves * (leaves - 1) / 2));
    began.elapsed()
}
