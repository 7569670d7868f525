"""The plain door: from plaintext in memory to a sealed, stored and queued submission.

The order is part of the contract, cheap refusals first:

1. idempotency: the same body gets the same receipt, another is a conflict. What arrives in parts is looked up first, so that
   a known key costs no sealing; what lies in memory whole meets the gate in (7), and is looked up where it would be refused;
2. admission: enough disk, enough memory, a callback address that may be called;
3. the responsible authority and its key (both must be known before the first attachment byte is sealed);
4. attachments, sealed while they arrive;
5. the payload against its schema, and the destination offers that schema;
6. sealing, as JWEs or as the destination's adapter wants it: plaintext ends here;
7. one transaction: case, submission, events, delivery due. The receipt is valid once its future resolves.
"""

from hub.intake.intake import Intake, IntakeTools, Reception, Replay
from hub.intake.repeats import Accepted
from hub.intake.sealing import MOST_ATTACHMENTS, IncomingAttachment

__all__ = ["MOST_ATTACHMENTS", "Accepted", "IncomingAttachment", "Intake", "IntakeTools", "Reception", "Replay"]
