//! One epoch of a federation as a value: its manifest and all that follows from that, so that
//! nobody keeps a copy of who votes (SPEC §4).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::certificate;
use crate::event::{Event, FEDERATION_EPOCH};
use crate::evidence;
use crate::id::{Epoch, FederationId, NodeId, SubjectId};
use crate::identity::VerifyKey;
use crate::manifest::{Manifest, ManifestError, TieBreak};
use crate::quorum::VoterSet;
use crate::subject::{EventPolicies, Subject};
use crate::voting::{Rules, Signing};

/// A manifest with its voters, keys, names, policies and verifiers. It never changes: who enters
/// another epoch takes another context.
#[derive(Clone, Debug)]
pub struct EpochContext {
    federation: FederationId,
    manifest: Manifest,
    voters: VoterSet,
    policies: EventPolicies,
    names: BTreeMap<NodeId, String>,
    keys: BTreeMap<NodeId, VerifyKey>,
    evidence: evidence::Verifier,
    change: SubjectId,
}

impl EpochContext {
    /// The first epoch, by the genesis manifest, which the caller has validated.
    ///
    /// ```
    /// use ssid_protocol::epoch::EpochContext;
    /// use ssid_protocol::testing;
    ///
    /// let genesis = testing::manifest(4);
    /// let epoch = EpochContext::genesis(genesis.clone())?;
    /// assert_eq!(epoch.voters().quorum(), 3);
    /// assert_eq!(*epoch.federation(), genesis.federation_id());
    /// # Ok::<(), ssid_protocol::manifest::ManifestError>(())
    /// ```
    ///
    /// # Errors
    /// If its voters are none that can decide.
    pub fn genesis(manifest: Manifest) -> Result<Self, ManifestError> {
        let federation = manifest.federation_id();
        let policies = manifest.event_policies.clone();
        Self::new(federation, policies, manifest)
    }

    /// The epoch of another manifest of the same federation, which the caller has validated as the
    /// successor of this one. The federation's id and its event policies stay the genesis's.
    ///
    /// # Errors
    /// If its voters are none that can decide.
    pub fn successor(&self, manifest: Manifest) -> Result<Self, ManifestError> {
        Self::new(self.federation, self.policies.clone(), manifest)
    }

    /// The epoch of a validated manifest, in the federation of another's genesis: its id and its
    /// event policies are that one's.
    ///
    /// # Errors
    /// If its voters are none that can decide.
    pub fn new(
        federation: FederationId,
        policies: EventPolicies,
        manifest: Manifest,
    ) -> Result<Self, ManifestError> {
        let voters = manifest.voters()?;
        let evidence =
            evidence::Verifier::new(federation, &manifest, voters.clone(), policies.clone());
        let keys = manifest
            .members
            .iter()
            .filter_map(|member| VerifyKey::parse(member.node_id).ok())
            .map(|key| (key.id(), key))
            .collect();
        let names = manifest
            .members
            .iter()
            .map(|member| (member.node_id, member.node_name.clone()))
            .collect();
        let change = Subject {
            event: FEDERATION_EPOCH.to_owned(),
            version: manifest.epoch.next().to_string(),
            occurrence: String::new(),
        };
        Ok(Self {
            federation,
            change: change.id(&federation),
            manifest,
            voters,
            policies,
            names,
            keys,
            evidence,
        })
    }

    /// The federation: the hash of its genesis manifest.
    pub fn federation(&self) -> &FederationId {
        &self.federation
    }

    /// The epoch's number.
    pub fn number(&self) -> Epoch {
        self.manifest.epoch
    }

    /// Who is member, with which role, weight and status.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Who votes, with which weight, and what a quorum of them is.
    pub fn voters(&self) -> &VoterSet {
        &self.voters
    }

    /// The genesis manifest's event policies.
    pub fn policies(&self) -> &EventPolicies {
        &self.policies
    }

    /// The key of a member; `None` if the node is none.
    pub fn key(&self, member: &NodeId) -> Option<&VerifyKey> {
        self.keys.get(member)
    }

    /// The keys of all members.
    pub fn keys(&self) -> &BTreeMap<NodeId, VerifyKey> {
        &self.keys
    }

    /// What a member is called; `None` if the node is none.
    pub fn name(&self, member: &NodeId) -> Option<&str> {
        self.names.get(member).map(String::as_str)
    }

    /// The subject that an event is about.
    pub fn subject_of(&self, event: &Event) -> SubjectId {
        self.policies.subject_of(event).id(&self.federation)
    }

    /// The subject whose decision ends this epoch.
    pub fn change(&self) -> SubjectId {
        self.change
    }

    /// How many members there are.
    pub fn members(&self) -> usize {
        self.manifest.members.len()
    }

    /// What evidence is checked against.
    pub fn evidence(&self) -> &evidence::Verifier {
        &self.evidence
    }

    /// A verifier for certificates of this epoch.
    pub fn certificates(&self) -> certificate::Verifier<'_> {
        certificate::Verifier::with_voters(
            self.federation,
            self.manifest.epoch,
            &self.voters,
            &self.policies,
        )
    }

    /// The rules by which the instances of node `me` go in this epoch, nothing signed yet.
    pub fn rules(&self, me: &NodeId) -> Rules {
        let strategy = self.manifest.tie_breaking_strategy;
        let is_automatic =
            self.manifest.auto_resolve_conflicts && strategy != TieBreak::ManualReview;
        Rules {
            me: self.voters.index_of(me),
            signing: Signing::Later,
            automatic: is_automatic.then_some(strategy),
        }
    }
}

/// The epochs that a node knows, each found by its number, and the one that it has entered.
#[derive(Clone, Debug)]
pub struct Epochs {
    current: Arc<EpochContext>,
    by_number: BTreeMap<Epoch, Arc<EpochContext>>,
}

impl Epochs {
    /// A node that has entered `current`, and knows no other.
    pub fn new(current: EpochContext) -> Self {
        let current = Arc::new(current);
        let by_number = BTreeMap::from([(current.number(), current.clone())]);
        Self { current, by_number }
    }

    /// The epoch that the node has entered.
    pub fn current(&self) -> &Arc<EpochContext> {
        &self.current
    }

    /// An epoch that is known.
    pub fn get(&self, number: Epoch) -> Option<&Arc<EpochContext>> {
        self.by_number.get(&number)
    }

    /// The key of whoever is a member in any of the epochs that are known.
    pub fn key(&self, member: &NodeId) -> Option<&VerifyKey> {
        let others = self.by_number.values().rev();
        let mut contexts = std::iter::once(&self.current).chain(others);
        contexts.find_map(|epoch| epoch.key(member))
    }

    /// Another epoch is known from now on; the one that the node has entered stays. One that is
    /// known already is not replaced.
    pub fn add(&mut self, epoch: EpochContext) {
        let number = epoch.number();
        self.by_number
            .entry(number)
            .or_insert_with(|| Arc::new(epoch));
    }

    /// The node enters an epoch that is known. Returns whether it is.
    pub fn enter(&mut self, number: Epoch) -> bool {
        let Some(epoch) = self.by_number.get(&number) else {
            return false;
        };
        self.current = epoch.clone();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn two() -> (EpochContext, EpochContext) {
        let genesis = EpochContext::genesis(testing::manifest(4)).unwrap();
        let mut manifest = genesis.manifest().clone();
        manifest.epoch = manifest.epoch.next();
        manifest.members.truncate(3);
        manifest.event_policies = EventPolicies::default();
        let next = genesis.successor(manifest).unwrap();
        (genesis, next)
    }

    #[test]
    fn an_epoch_has_its_own_voters_and_the_policies_of_the_genesis() {
        let (genesis, next) = two();
        assert_eq!((genesis.voters().len(), next.voters().len()), (4, 3));
        assert_eq!(genesis.federation(), next.federation());
        assert_eq!(genesis.policies(), next.policies());
        assert_ne!(genesis.change(), next.change());
        let gone = genesis.manifest().members[3].node_id;
        assert!(genesis.key(&gone).is_some() && next.key(&gone).is_none());
        assert!(next.name(&gone).is_none() && next.rules(&gone).me.is_none());
    }

    #[test]
    fn a_node_enters_only_what_it_knows() {
        let (genesis, next) = two();
        let (zero, one) = (genesis.number(), next.number());
        let mut epochs = Epochs::new(genesis);
        assert!(!epochs.enter(one) && epochs.get(one).is_none());
        epochs.add(next);
        assert_eq!(epochs.current().number(), zero);
        assert!(epochs.enter(one));
        assert_eq!(epochs.current().number(), one);
        assert_eq!(epochs.get(zero).map(|epoch| epoch.voters().len()), Some(4));
    }
}
