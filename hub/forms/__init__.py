"""Forms: the questions of a schema, in the order and words of a form file; answers, documents, and what people read of them.

Pure: schema, form file and answers go in; outline, page, document and readable rendering come out. Nothing here opens a
connection, keeps anything, or asks the clock: what the portal fills in by itself is handed in.
"""
