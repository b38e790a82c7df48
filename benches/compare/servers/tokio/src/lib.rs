//! What both servers begin with: the runtime, signals, descriptors. And what their clients see of a server's process.

pub mod process;

use std::future::Future;
use std::io;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Runs a server, with as many workers as asked for. With one it is tokio's runtime for one thread, which is faster then.
///
/// # Errors
/// Where no runtime can be made; and what `main` gives.
pub fn run<T, E: From<io::Error>>(
    procs: Option<usize>,
    main: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    raise_descriptor_limit();
    let mut builder = match procs {
        Some(1) => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    if let Some(n) = procs {
        builder.worker_threads(n);
    }
    let runtime = builder.enable_all().build()?;
    let result = runtime.block_on(main);
    // What was cut off is not waited for.
    runtime.shutdown_background();
    result
}

/// Two tokens: the first is cancelled by the first SIGINT or SIGTERM, the second by the second.
///
/// # Errors
/// Where signals cannot be had.
pub fn until_signals() -> io::Result<(CancellationToken, CancellationToken)> {
    let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
    let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let tokens = (stop.clone(), hurry.clone());
    tokio::spawn(async move {
        for (token, first) in [(stop, true), (hurry, false)] {
            let name = tokio::select! {
                _ = int.recv() => "SIGINT",
                _ = term.recv() => "SIGTERM",
            };
            if first {
                println!("{name}: no new connections; requests finish (again to cut them off)");
            }
            token.cancel();
        }
    });
    Ok(tokens)
}

/// Each connection is a descriptor: as many as the system lets us have.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}
