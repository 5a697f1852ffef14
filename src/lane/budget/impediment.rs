//! What keeps calls from getting through, in the three kinds that people see.

/// What keeps calls from getting through, the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Impediment {
    /// Freshsales refuses the credentials.
    Unauthorized,
    /// Freshsales, or a gateway before it, asked for fewer calls; or its answers say that none are left.
    Throttled,
    /// Freshsales is down, unreachable or answers nonsense.
    Retrying,
}
