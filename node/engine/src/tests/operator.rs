//! Rounds after the first and people in them (SPEC §7 rules 1, 6 and 7), over several engines.

use std::collections::BTreeMap;
use std::time::Duration;

use ssid_protocol::batch::Statements;
use ssid_protocol::event::Event;
use ssid_protocol::id::{Round, UnixMillis};
use ssid_protocol::manifest::{Manifest, TieBreak};
use ssid_protocol::record::Resolution;
use ssid_protocol::testing;
use ssid_storage::{DecisionRow, NoteKind};

use super::{Net, observed, other};
use crate::settings::{Endorsement, EngineSettings};
use crate::{
    Command, Decider, Inbound, NodeEvent, Operated, Operation, OperatorRefusal, RefusalKind,
    ReviewReason,
};

mod automatic;
mod choosing;
mod commits;
mod endorsing;
mod settling;

const TYPE: &str = "blueprint_tagged";

/// Who decides in these tests.
fn by() -> Decider {
    Decider {
        by: "Ada (ada)".into(),
        reason: "the other tag was moved".into(),
    }
}

/// Two events of one subject that do not agree; the second is earlier.
fn two() -> (Event, Event) {
    let a = testing::event(TYPE, "v4.4.0");
    let b = Event {
        timestamp: "2025-10-11T19:59:00Z".into(),
        ..other(&a)
    };
    (a, b)
}

fn automatic(strategy: TieBreak) -> Manifest {
    Manifest {
        auto_resolve_conflicts: true,
        tie_breaking_strategy: strategy,
        ..testing::manifest(4)
    }
}

fn with_policy(policy: Endorsement) -> EngineSettings {
    EngineSettings {
        endorsement_by_event: BTreeMap::from([(TYPE.into(), policy)]),
        ..EngineSettings::default()
    }
}

impl Net {
    fn operate(
        &mut self,
        node: usize,
        kind: NoteKind,
        event: &Event,
    ) -> Result<Operated, OperatorRefusal> {
        let operation = Operation {
            kind,
            subject: self.subject(event),
            choice: event.choice(),
        };
        self.command(node, Command::Operate(operation, by()));
        self.operated.pop().unwrap()
    }
}

fn votes_are_lost(_: usize, input: &Inbound) -> bool {
    matches!(input, Inbound::Batch { batch, .. } if matches!(batch.statements(), Statements::Votes(_)))
}
