//! A member that sends rubbish is counted, named and shut out; the others go on.

use std::time::Duration;

use ssid_tests::Siege;
use ssid_tests::adversary::Misdeed;

#[test]
fn explore() {
    let mut siege = Siege::begin("rubbish", |_| {});
    let which: Vec<String> = std::env::var("DO").unwrap_or_default().split(',').map(str::to_owned).collect();
    for name in which {
        let misdeed = <Misdeed as clap::ValueEnum>::from_str(&name, true).unwrap();
        siege.withstands(
            &name,
            std::env::var("ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(4),
            Duration::from_millis(30),
            |mallory, portion| (0..3).for_each(|victim| misdeed.commit(mallory, victim, portion)),
            |_| Ok(()),
        );
        for node in siege.honest() {
            let text = node.get("/metrics").body;
            let text: Vec<&str> = text.lines().filter(|l| !l.starts_with('#') && !l.ends_with(" 0")).collect();
            println!("{}\n{:?}", text.join("\n"), siege.mallory.link(0));
            break;
        }
    }
}
