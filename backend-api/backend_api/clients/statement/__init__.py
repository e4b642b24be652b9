"""The account statement as a document for the client, in Spanish: `page.html` for browsers, `paper.pdf` for printing.

`document` says what it is made from, `content` what is written, `spanish` how amounts and dates are spelt; `printing`
makes a PDF beside the event loop.
"""
