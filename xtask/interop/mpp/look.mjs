// Shows what an API key opens. See README.md for what comes in and goes out.
const { INTEROP_URL, INTEROP_PATH, INTEROP_API_KEY } = process.env;

const response = await fetch(`${INTEROP_URL}${INTEROP_PATH}`, { headers: { "x-api-key": INTEROP_API_KEY } });
console.log(JSON.stringify({ status: response.status, answer: await response.json() }));
