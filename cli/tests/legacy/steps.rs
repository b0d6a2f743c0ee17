//! Runs the steps of a workflow of ours as a runner would: the scripts by bash, the actions and
//! expressions as far as these workflows use them, and `gh` and `jq` as small programs that note
//! what they were asked.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Notes its arguments, and lets the program under test be installed as a release would be.
const GH: &str = r#"#!/usr/bin/env bash
printf '%s\n' "$*" >> "$GH_NOTES"
if [ "$1 $2" = "release download" ]; then
  while [ "$1" != --dir ]; do shift; done
  mkdir -p "$2" && cp "$SSID_BUILT" "$2/ssid"
fi
"#;

/// As much of jq as the workflows need: one key, or a text with keys in it. A real one is on every
/// runner.
const JQ: &str = r#"#!/usr/bin/env python3
import json, re, sys
args = [a for a in sys.argv[1:] if a != "-r"]
value = json.load(open(args[1]) if len(args) > 1 else sys.stdin)
text = lambda v: v if isinstance(v, str) else json.dumps(v)
if args[0].startswith('"'):
    print(re.sub(r"\\\(\.(\w+)\)", lambda m: text(value[m[1]]), args[0].strip('"')))
else:
    print(text(value[args[0].lstrip(".")]))
"#;

/// One step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Step {
    pub(crate) name: String,
    id: String,
    condition: String,
    may_fail: bool,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) script: String,
}

/// The steps of a job that run something, read by the indentation in which `ssid ci init` writes
/// them.
pub(crate) fn steps(workflow: &str, job: &str) -> Vec<Step> {
    let begin = workflow.find(&format!("\n  {job}:\n")).unwrap() + 1;
    let mut steps: Vec<Step> = Vec::new();
    let (mut in_env, mut in_script) = (false, false);
    for line in workflow[begin..].lines().skip(1) {
        let depth = line.len() - line.trim_start().len();
        if depth == 2 && !line.trim().is_empty() {
            break;
        }
        if let Some(name) = line.strip_prefix("      - name: ") {
            steps.push(Step {
                name: name.to_owned(),
                ..Step::default()
            });
            (in_env, in_script) = (false, false);
        }
        let Some(step) = steps.last_mut() else {
            continue;
        };
        if in_script && (depth >= 10 || line.is_empty()) {
            step.script += line.get(10..).unwrap_or_default();
            step.script.push('\n');
            continue;
        }
        match line.trim().split_once(": ").unwrap_or((line.trim(), "")) {
            ("id", id) if depth == 8 => id.clone_into(&mut step.id),
            ("if", condition) if depth == 8 => condition.clone_into(&mut step.condition),
            ("continue-on-error", "true") => step.may_fail = true,
            ("env:", _) if depth == 8 => in_env = true,
            ("run", "|") if depth == 8 => in_script = true,
            ("run", script) if depth == 8 => script.clone_into(&mut step.script),
            (name, value) if in_env && depth == 10 => {
                step.env.push((name.to_owned(), value.to_owned()));
            }
            _ => in_env = in_env && depth > 8,
        }
    }
    steps.retain(|step| !step.script.is_empty());
    steps
}

/// A machine that runs steps in a repository.
pub(crate) struct Runner {
    dir: TempDir,
    repo: PathBuf,
    /// What expressions are, by their text.
    pub(crate) values: BTreeMap<String, String>,
    failed: bool,
}

impl Runner {
    pub(crate) fn new(repo: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("gh", GH), ("jq", JQ)] {
            let path = dir.path().join("tools").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let values = [
            ("github.ref_name", "main"),
            ("github.run_id", "7"),
            ("github.repository", "org/registry"),
        ];
        let values = values
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        Self {
            dir,
            repo: repo.to_owned(),
            values,
            failed: false,
        }
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.values.insert(name.to_owned(), value.to_owned());
    }

    /// What `gh` was asked, a line each time.
    pub(crate) fn asked_of_github(&self) -> String {
        fs::read_to_string(self.dir.path().join("gh.notes")).unwrap_or_default()
    }

    pub(crate) fn temp(&self) -> PathBuf {
        self.dir.path().join("temp")
    }

    /// Runs the steps whose conditions hold; the names of those that ran, and of those that failed.
    pub(crate) fn run(&mut self, steps: &[Step]) -> (Vec<String>, Vec<String>) {
        let (mut ran, mut failed) = (Vec::new(), Vec::new());
        for step in steps {
            if !self.wants(&step.condition) {
                continue;
            }
            ran.push(step.name.clone());
            if !self.run_one(step) {
                failed.push(step.name.clone());
                self.failed |= !step.may_fail;
            }
        }
        (ran, failed)
    }

    fn wants(&self, condition: &str) -> bool {
        let by_state = match condition {
            c if c.contains("failure()") => self.failed,
            c if c.contains("always()") => true,
            _ => !self.failed,
        };
        let is_value = |term: &str| match term.trim().split_once(" == ") {
            Some((name, value)) if !name.contains('(') => {
                self.value(name) == value.trim_matches('\'')
            }
            _ => !term.contains("inputs.") || self.value(term.trim()) == "true",
        };
        by_state && condition.split("&&").all(is_value)
    }

    fn value(&self, expression: &str) -> String {
        self.values
            .get(expression.trim())
            .cloned()
            .unwrap_or_default()
    }

    /// A text with its expressions replaced.
    fn filled(&self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("${{") {
            let (expression, after) = behind.split_once("}}").unwrap();
            filled += &(before.to_owned() + &self.value(expression));
            rest = after;
        }
        filled + rest
    }

    fn run_one(&mut self, step: &Step) -> bool {
        let dir = self.dir.path();
        let (output, path) = (dir.join("output"), dir.join("path"));
        fs::create_dir_all(self.temp()).unwrap();
        fs::write(&output, "").unwrap();
        let added = fs::read_to_string(&path)
            .unwrap_or_default()
            .replace('\n', ":");
        let search = format!(
            "{}:{added}{}",
            dir.join("tools").display(),
            std::env::var("PATH").unwrap()
        );
        let mut bash = Command::new("bash");
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SSID_"))
        {
            bash.env_remove(name);
        }
        bash.args([
            "--noprofile",
            "--norc",
            "-eo",
            "pipefail",
            "-c",
            &self.filled(&step.script),
        ]);
        bash.current_dir(&self.repo)
            .env("PATH", search)
            .env("HOME", dir)
            .env("XDG_DATA_HOME", dir.join("data"));
        bash.env("GITHUB_OUTPUT", &output)
            .env("GITHUB_PATH", &path)
            .env("RUNNER_TEMP", self.temp());
        bash.env("GH_NOTES", dir.join("gh.notes"))
            .env("SSID_BUILT", env!("CARGO_BIN_EXE_ssid"));
        bash.env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1");
        bash.env("SSID_RELEASES", "org/ssid")
            .env("SSID_VERSION", "v1");
        bash.envs(
            step.env
                .iter()
                .map(|(name, value)| (name, self.filled(value))),
        );
        let ended = bash.output().unwrap();
        println!("--- {} (exit {:?})", step.name, ended.status.code());
        println!(
            "{}{}",
            String::from_utf8_lossy(&ended.stdout),
            String::from_utf8_lossy(&ended.stderr)
        );
        for line in fs::read_to_string(&output).unwrap().lines() {
            let (name, value) = line.split_once('=').unwrap();
            self.values.insert(
                format!("steps.{}.outputs.{name}", step.id),
                value.to_owned(),
            );
        }
        ended.status.success()
    }
}
