#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::json;

use super::*;

const TEXT: &str = r#"{
  "a": "x\"}",
  "list": [{"hidden": 1}, "]"],
  "section": {
    "b": 1.50, "c": null,
    "deep": { "d": true }
  },
  "empty": {}
}
"#;

#[test]
fn keys_have_lines_and_values() {
    let document = Document::new(TEXT.to_owned()).unwrap();
    let found: Vec<(&str, usize)> = document
        .members()
        .iter()
        .map(|m| (m.path.as_str(), m.line))
        .collect();
    let expected = [
        ("a", 2),
        ("list", 3),
        ("section", 4),
        ("section.b", 5),
        ("section.c", 5),
        ("section.deep", 6),
        ("section.deep.d", 6),
        ("empty", 8),
    ];
    assert_eq!(found, expected);
    assert_eq!(document.value(&document.members()[0]), json!("x\"}"));
    assert_eq!(document.value(&document.members()[6]), json!(true));
    assert!(Document::new("[1]".to_owned()).is_err());
}

#[test]
fn one_value_changes_and_nothing_else() {
    let mut document = Document::new(TEXT.to_owned()).unwrap();
    document.set("section.b", &json!(2));
    document.set("list", &json!(["x", "y"]));
    assert_eq!(
        document.text(),
        TEXT.replace("1.50", "2")
            .replace(r#"[{"hidden": 1}, "]"]"#, r#"["x", "y"]"#)
    );
}

#[test]
fn missing_keys_are_made() {
    let mut document = Document::new(TEXT.to_owned()).unwrap();
    document.set("section.e", &json!(1));
    document.set("empty.f", &json!({"g": 1}));
    document.set("new.deeper.h", &json!([]));
    let expected = TEXT
        .replace("{ \"d\": true }\n", "{ \"d\": true },\n    \"e\": 1\n")
        .replace(
            "\"empty\": {}\n",
            r#""empty": {
    "f": {
      "g": 1
    }
  },
  "new": {
    "deeper": {
      "h": []
    }
  }
"#,
        );
    assert_eq!(document.text(), expected);
    let mut least = Document::new("{}".to_owned()).unwrap();
    least.set("a.b", &json!(1));
    assert_eq!(least.text(), "{\n  \"a\": {\n    \"b\": 1\n  }\n}");
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-c.\"\\\\{}\\[\\],: é\n]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[ab.\"{]{0,3}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_document_keeps_all_but_what_is_set(document in json_value(), value in json_value(), pretty: bool) {
        let Value::Object(mut expected) = json!({"rest": document, "empty": {}}) else { return Ok(()) };
        let text = if pretty { serde_json::to_string_pretty(&expected) } else { serde_json::to_string(&expected) };
        let mut document = Document::new(text.unwrap()).unwrap();
        document.set("new.key", &value);
        document.set("empty.key", &value);
        document.set("empty.key", &json!(1));
        expected.insert("new".into(), json!({"key": value}));
        expected.insert("empty".into(), json!({"key": 1}));
        prop_assert_eq!(serde_json::from_str::<Value>(document.text()).unwrap(), Value::Object(expected));
    }
}

#[test]
fn lists_keep_the_elements_that_are_put_back() {
    let text = "{\r\n  \"nodes\": [\r\n    {\"a\": [1, 2], \"b\": \"],\"},\r\n    7\r\n  ],\r\n  \"none\": []\r\n}\r\n";
    let mut document = Document::new(text.to_owned()).unwrap();
    let elements = document.elements("nodes");
    assert_eq!(elements, ["{\"a\": [1, 2], \"b\": \"],\"}", "7"]);
    assert_eq!(
        (
            document.elements("none").len(),
            document.elements("missing").len()
        ),
        (0, 0)
    );
    document.set_elements("nodes", &elements);
    document.set_elements("none", &[]);
    assert_eq!(
        document.text(),
        text,
        "put back as it was: not a byte changed"
    );
    document.set_elements("none", &["1".to_owned(), "2".to_owned()]);
    assert_eq!(
        document.text(),
        text.replace("[]", "[\r\n    1,\r\n    2\r\n  ]")
    );
    document.set_elements("new.list", &["true".to_owned()]);
    assert_eq!(document.get("new.list"), Some(json!([true])));
    assert!(
        !document.change("new.list", &json!([true])) && document.change("new.list", &json!([]))
    );
}
