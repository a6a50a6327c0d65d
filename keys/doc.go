// Package keys has the registered keys: how they are made, changed, found and limited, and what each of them may do. It knows
// the token, but neither HTTP nor SQL.
//
// Many instances serve from one store. They never talk to each other, only to the store, and no request waits for another
// instance. The rest of this comment tells the two protocols between them: how a revocation travels, and how a limit is shared.
//
// # How a revocation travels
//
// The store has one number, the version of keys. The transaction that revokes a key (ChangeKey)
//
//  1. adds one to the version; the row stays locked, so changes of keys run one after the other;
//  2. writes the new state into the row of the key, with this version and the time by the store's clock;
//  3. writes the row of the audit.
//
// So a transaction that reads version v also reads every change up to v. Creating, rotating, disabling, enabling and rewrapping
// travel the same way.
//
// Every instance caches up to maxKeys (100,000) keys. It has a snapshot of the store: the version at its last poll, and the time
// on the monotonic clock at which that poll began. A cached key (Key) is one state of a key. It never changes; when another state
// is known, it becomes stale. A cached token points at the Key that verified it.
//
// On the instance that revoked, SetState updates the cache before it returns: the next request fails. Every other instance goes
// through these steps:
//
//	unaware     its version is lower; it serves the key
//	notified    PostgreSQL notified it, which asks for a poll; SQLite cannot notify, and a pooler may be in the way
//	polled      it read the version and the changed keys, in one statement; the old Key is stale
//	confirmed   it wrote the version with its next heartbeat, which follows at once
//
// An instance polls every pollInterval (250 ms), and at once when it is notified, but not sooner than minPollInterval (25 ms) after
// the last poll began. A notification carries nothing and may be lost: it only makes the next poll come sooner. Therefore a
// revocation acts after 250 ms and one query, usually after a few milliseconds; as long as the store answers, within a second.
//
// # What a request does
//
// Each request asks Admit, also with a cached token. Admit looks at the state and the expiry of the Key. In two cases it takes
// another Key first:
//
//   - The Key is stale: it takes the newest one, from the cache or from the store.
//   - The snapshot is older than maxSnapshotAge (5 s): it reads the key from the store, with a query that begins after the request
//     did. If there is no answer within lookupTimeout (1 s), the caller gets a 503.
//
// So an instance trusts what it has cached for 5 s after its last successful poll began, and no longer. Whatever fails, no request
// is served that begins more than 5 s after the commit of the revocation; the table below has two exceptions (*). All of this is
// not for the shared key of the settings, which is in no store.
//
// An answer of the store can be older than a change that a poll has found meanwhile. Therefore a key that was read is cached only if
// no change was applied since its query began. Otherwise it is read again; the answer of the third attempt is used once and not
// cached. An unknown id is cached for unknownFor (1 s), unless a poll finds the key.
//
// # Who waits for the others
//
// Every heartbeatInterval (1 s), and after each poll that found changes, an instance writes its heartbeat: its version, and the time
// by the store's clock. Revoking with wait (Confirm) reads the heartbeats every confirmInterval (25 ms). It waits for each instance
// that is live, until it has that version or a later one, or has left; after confirmTimeout (3 s) the rest is late. For
// itself it need not wait.
//
// Here an instance is live whose last heartbeat was not older than maxHeartbeatAge (6 s) when the wait began. That is the maximum
// snapshot age and one heartbeat: one that was silent for longer has stopped, or reads every key from the store as soon as it goes
// on. A late instance may still serve the key, for 5 s after the revocation at most.
//
// # What can fail
//
//	notification lost          The next poll finds the change, at most 250 ms later. Listening begins again, with a backoff from
//	                           100 ms to 5 s and jitter.
//	store slow                 A poll may take storeTimeout (2 s), and the next one follows. Until one succeeds, the snapshot
//	                           gets older.
//	store gone                 After 5 s every request with a registered key is a 503. The first poll that succeeds ends this.
//	heartbeat fails            Polls go on, so revocations still act. After 6 s nobody waits for the instance any more.
//	process paused             The monotonic clock goes on. The first request after a pause finds the snapshot too old and asks
//	                           the store. (*) Where the whole machine sleeps, this clock stops: the key is served until
//	                           the next poll, 250 ms.
//	instance killed            A Confirm that begins within 6 s of its last heartbeat waits for it, and calls it late.
//	server replaced            A server that started at another time, or whose version is lower, may have lost changes and given
//	                           their versions to others. The instance empties its cache and believes the new server.
//	                           (*) A revocation that the new server does not have must be repeated.
//	instance far behind        More than maxChanges (1000) changed keys are not read: it empties its cache.
//	first poll                 What was cached before was read at an unknown version: it empties its cache.
//	clock of an instance wrong Keys expire by the clock of the instance. Nothing else here depends on it: whether an instance is
//	                           live is judged by the store's clock, the age of a snapshot by the monotonic clock.
//
// # How a limit is shared
//
// The limit of a key, its rate and its burst, holds for all instances together. An instance that is live, here with a last heartbeat
// not older than shareLease (4 s), has a share of the rate. The burst is always divided evenly, but each instance has at least 1.
//
// Package shares has the arithmetic; sharing.go carries it out. A key is in one of two states:
//
//	even      Every instance has an even share, 1/n of the rate for n live instances. Nobody reports anything.
//	divided   Every instance reports its demand and its share, as fractions of the rate. Its share is to be
//	          (demand + 5 % of an even share) / (the sum of this over all instances).
//
// Demand is the requests that come to an instance, allowed or not, measured every measureInterval (250 ms) as a moving average over
// a second, or over the time of four requests where this is longer; it counts as at most 1. The 5 % (idleDemand) leave an idle
// instance something for its first requests.
//
// A division begins when the demand of one instance exceeds 80 % of an even share (demandThreshold), and there are at least two.
// This instance writes its report; the others read it and report, too. It ends when no demand is so high any more: the shares go
// back to even ones, and the reports disappear. An instance reports at most 200 keys (MaxKeys). When more are in demand, all
// instances choose the same ones, and the others stay even.
//
// # How shares move
//
// An instance updates its report in a transaction (UpdateShares) that locks one row, so that only one instance does so at a time.
// In it, the instance reads the reports of all live instances, and computes its next shares.
//
//   - An even share needs no transaction: it follows the number of live instances when that is read.
//   - A lower share is in force at once, before the transaction ends.
//   - A higher share is in force when the transaction has been committed. It is never more than what the others have left: 1 minus
//     the sum of their shares, where no report counts as an even share.
//
// So an instance trusts two things: that no other one lets more pass than its report says, as long as it is live, and that its own
// share is its own as long as its own heartbeats arrive. If a commit is lost, the instance keeps the lower share and tries again.
//
// The row that is locked has the epoch of the fleet. It grows when an instance joins or leaves, when a report of a key appears or
// ends, and when a share decreases by more than 0.05 (urgentDecrease). A poll reads the epoch, and a changed one makes the instance
// look at the reports; PostgreSQL notifies of it. Other changes are found with the next heartbeat, whose answer says whether there
// are reports. An instance looks at most every 250 ms. Clients are told to come back after 2 s at the latest (maxReshareTime), since
// demand makes a share larger.
//
// At rest, when all is even, an instance asks the store five times a second: four polls and one heartbeat.
//
// # How far the shares can overlap
//
// The shares in force add up to more than the whole only in these cases:
//
//	an instance starts         It has an even share as soon as it has joined, and the others still have theirs of before. With n
//	                           instances before, the sum is at most 1 + 1/(n+1), until the others have read the new epoch: one
//	                           poll and one update, usually well below a second.
//	an instance is cut off     The others take its share when its lease ends, 4 s after its last heartbeat. It serves registered
//	                           keys for at most 5 s after its last poll, which was at most one heartbeat (1 s) later. The overlap
//	                           is at most 2 s, and at most its share.
//	only heartbeats fail       An instance that can read the store and not write it goes on with its share, after the others have
//	                           taken it. The overlap is at most its share, and lasts until a heartbeat arrives.
//
// In the other cases a part of the limit is unused for a while:
//
//	an instance is killed      Its share is free when its lease ends, after 4 s, and the others notice with their next
//	                           heartbeat: 5 s.
//	an instance leaves         Its share is free when the others read the new epoch.
//	store gone                 Nobody's share changes, so the limit holds. After 5 s there are only 503s.
//	a report cannot be read    It counts as none, that is, as even shares.
//
// A limit that was changed starts full; otherwise changes of a key do not refill it.
package keys
