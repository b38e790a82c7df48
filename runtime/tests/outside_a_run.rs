//! Where no scheduler was started, starting a goroutine says so.

#[test]
fn go_panics_with_a_clear_message() {
    let e = std::panic::catch_unwind(|| gosched_runtime::go(|| ())).unwrap_err();
    let said =
        e.downcast_ref::<String>().cloned().or(e.downcast_ref::<&str>().map(|s| s.to_string())).unwrap();
    assert!(said.contains("outside of a run"), "{said}");
}
