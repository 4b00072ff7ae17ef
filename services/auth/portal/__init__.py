"""The portal: pages for people, a reference client of the public API. ``PORTAL=off`` leaves them out.

The pages hold no rule. Signing in also works by plain forms, through the use cases that the API calls; everything else
is done by the scripts in static/, through the API and nothing but the API.
"""
