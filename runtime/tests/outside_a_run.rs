//! Where no scheduler was started, starting a goroutine says so.

fn message(f: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let e = std::panic::catch_unwind(f).unwrap_err();
    e.downcast_ref::<String>().cloned().or(e.downcast_ref::<&str>().map(|s| s.to_string())).unwrap()
}

#[test]
fn starting_a_goroutine_panics_with_a_clear_message() {
    for said in [
        message(|| gosched_runtime::go(|| ())),
        message(|| drop(gosched_runtime::spawn(|| 1))),
        message(|| drop(gosched_runtime::Builder::new().spawn(|| 1))),
        message(|| {
            gosched_runtime::scope(|s| {
                s.spawn(|| ());
            })
        }),
    ] {
        assert!(said.contains("outside of a run"), "{said}");
    }
}
