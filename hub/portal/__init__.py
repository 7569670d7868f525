"""The portal for citizens: an online service like any other, which uses nothing of the hub but its public doors.

``application`` is its web application, built around one value (``frame.Portal``) that every page gets; ``doors`` asks the
hub; ``session`` is a form that a person fills in, known by a cookie alone; ``finding`` leads from place and need to a service.
Nothing that a person enters is kept in the clear, and nothing of it is logged.
"""
