//! The commands that the documents print.

use super::*;

/// A line of a shell as its words, up to a comment, a pipe or a redirection.
fn words_of(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for character in line.chars() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, '|' | '>' | '<' | ';' | '&') => break,
            (None, '#') if word.is_none() => break,
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

/// The commands of `ssid` in a document's blocks of shell lines.
fn commands_in(document: &str) -> Vec<Vec<String>> {
    let document = document.replace("\\\n", "");
    let mut blocks = document.split("```");
    blocks.next();
    let lines = blocks
        .step_by(2)
        .filter_map(|block| block.strip_prefix("sh\n"))
        .flat_map(str::lines);
    let is_variable = |word: &String| word.starts_with("SLACK_");
    lines
        .map(|line| words_of(line).into_iter().skip_while(is_variable).collect())
        .filter(|words: &Vec<_>| words.first().is_some_and(|word| word == "ssid"))
        .collect()
}

/// Whether the program takes them is asked with `--help` at their end: what stands before it is
/// read first, and nothing is done.
#[test]
fn every_command_that_the_documents_print_is_one() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let pages = fs::read_dir(top.join("docs")).unwrap();
    let pages = pages.map(|page| page.unwrap().path());
    let (dir, mut seen) = (temp(), 0);
    for page in pages.chain([top.join("README.md")]) {
        for words in commands_in(&fs::read_to_string(&page).unwrap()) {
            // what a reader puts in the place of the word
            let hash = "0".repeat(64);
            let words: Vec<&str> = words[1..]
                .iter()
                .map(|word| match word.as_str() {
                    "HASH" => hash.as_str(),
                    word => word,
                })
                .collect();
            let output = ssid(dir.path(), &[&words[..], &["--help"]].concat());
            assert!(
                output.status.success(),
                "{}: {words:?}: {}",
                page.display(),
                err(&output)
            );
            seen += 1;
        }
    }
    assert!(seen > 60, "{seen} commands");
    let wrong = ssid(dir.path(), &["status", "--no-such-flag", "--help"]);
    assert_eq!(wrong.status.code(), Some(2), "a wrong one would be noticed");
}
