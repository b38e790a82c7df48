//! docs/coming-from-go.md shows these programs beside Go's: what it shows is what is here.

/// The Rust of the chapter "Four programs", in pieces: `// …` stands for what is left out.
fn pieces(text: &str) -> Vec<Vec<&str>> {
    let chapter = text.split("\n## ").find(|c| c.starts_with("Four programs")).expect("the chapter is there");
    let blocks = chapter.split("```rust,ignore\n").skip(1).map(|b| b.split("```").next().unwrap());
    blocks.flat_map(|b| b.split("// …\n")).map(|p| p.lines().map(str::trim).collect()).collect()
}

#[test]
fn the_chapter_shows_the_code_of_the_programs() {
    let programs = [
        include_str!("../../sieve.rs"),
        include_str!("../src/roulette.rs"),
        include_str!("../src/balancer.rs"),
        include_str!("../src/search.rs"),
    ]
    .map(|p| p.lines().map(str::trim).collect::<Vec<_>>());
    let pieces = pieces(include_str!("../../../docs/coming-from-go.md"));
    assert!(pieces.len() >= 10 && pieces.iter().all(|p| p.len() > 2));
    for piece in &pieces {
        let found = programs.iter().any(|p| p.windows(piece.len()).any(|lines| lines == &piece[..]));
        assert!(found, "no program has these lines:\n{}", piece.join("\n"));
    }
}
