//! The attributes that ICE adds to a Binding request (RFC 8445 §7.1, §16.1).

use super::simple::{flag_attribute, number_attribute};

number_attribute! {
    /// PRIORITY: the priority that a peer-reflexive candidate found by this check will have (RFC
    /// 8445 §7.1.1).
    Priority(u32) = PRIORITY
}
flag_attribute! {
    /// USE-CANDIDATE: the controlling agent nominates this pair (RFC 8445 §7.1.2).
    UseCandidate = USE_CANDIDATE
}
number_attribute! {
    /// ICE-CONTROLLED: the sender has the controlled role; the number breaks ties (RFC 8445
    /// §7.1.3).
    IceControlled(u64) = ICE_CONTROLLED
}
number_attribute! {
    /// ICE-CONTROLLING: the sender has the controlling role; the number breaks ties (RFC 8445
    /// §7.1.3).
    IceControlling(u64) = ICE_CONTROLLING
}
