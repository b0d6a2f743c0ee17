//! What `config check` tells of settings that are well in themselves.

use std::fs;

use serde_json::Value;

use super::{init, temp, well};

#[test]
fn what_is_well_in_itself_and_does_nothing_is_told_and_is_no_error() {
    let dir = temp();
    let dir = dir.path();
    well(dir, &init("Berlin", "d", &[]));
    let path = dir.join("d/federation_config.json");
    let kept = fs::read_to_string(&path).unwrap();
    let check = |change: &dyn Fn(&mut Value)| {
        let mut config: Value = serde_json::from_str(&kept).unwrap();
        change(&mut config);
        fs::write(&path, config.to_string()).unwrap();
        let text = well(dir, &["config", "check", "--data", "d"]);
        let json = well(dir, &["config", "check", "--data", "d", "--json"]);
        let json: Value = serde_json::from_str(&json).unwrap();
        for told in json["overruled"].as_array().unwrap() {
            assert!(text.contains(told.as_str().unwrap()), "{told}: {text}");
        }
        (text, json["overruled"].as_array().unwrap().len())
    };
    assert_eq!(check(&|_| ()).1, 0);
    let (told, count) = check(&|config| config["local_node"]["node_name"] = "Bern".into());
    let words = "local_node.node_name is \"Bern\", and \"Berlin\" in the signed card, which holds";
    assert!(count == 1 && told.contains(words), "{told}");
    let (told, count) = check(&|config| {
        config["local_node"]["git_remote"] = "http://git.example/r.git".into();
    });
    let words = "local_node.git_remote: Git remote 'http://git.example/r.git': \
                 http is not allowed; security.allowed_git_protocols is [https, ssh]";
    assert!(count == 1 && told.contains(words), "{told}");
    let telemetry = r#"{"notifications": {"slack": {"enabled": true}}}"#;
    fs::write(dir.join("d/telemetry_config.json"), telemetry).unwrap();
    let (told, count) = check(&|_| ());
    let words = "telemetry channel slack cannot be used: ";
    assert!(count == 1 && told.contains(words), "{told}");
}
