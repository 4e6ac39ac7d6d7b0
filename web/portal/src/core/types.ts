// SPDX-License-Identifier: Apache-2.0
// Shapes of the REST API, as far as the pages read them.
import type { Entity } from "./arm";

/** What the linter says of a certificate. */
export type Warning = string | { code?: string; message?: string };
export const warningText = (w: Warning): string => (typeof w === "string" ? w : w.message ?? w.code ?? "");

export interface KeyVaultContract {
  secretIdentifier?: string;
  identityClientId?: string;
  lastStatus?: { code?: string; message?: string; timeStampUtc?: string };
}
export type Certificate = Entity<{
  subject: string;
  thumbprint: string;
  expirationDate: string;
  warnings?: Warning[];
  keyVault?: KeyVaultContract;
}>;

export type Workspace = Entity<{ displayName: string; description?: string }>;

export interface UsageItem { id: string; name: string; type: string; via?: string; by?: string; dynamic?: boolean }
export interface Usage { value: UsageItem[]; count: number; truncated?: boolean }

export interface Verdict { backend?: string; outcome?: string; cause?: string; sentence?: string; fix?: string }
export interface Generation {
  number: number;
  state: string;
  cause?: string;
  subject: string;
  thumbprint: string;
  expirationDate: string;
  warnings?: Warning[];
  secretVersion?: string;
  stagedAt?: string;
  preflightAt?: string;
  promotedAt?: string;
  drainingAt?: string;
  retiredAt?: string;
  refusal?: string;
  verdicts?: Verdict[];
  cer?: string;
}

export interface CheckReport {
  properties?: Record<string, unknown>;
  subject?: string;
  thumbprint?: string;
  expirationDate?: string;
  warnings?: Warning[];
  chainComplete?: boolean;
  chain?: { subject: string; issuer: string; thumbprint: string; notBefore: string; notAfter: string; keyType: string; keyBits: number; curve?: string; signatureAlgorithm?: string }[];
  file?: { format: string; integrity?: string; encryption?: string; friendlyName?: string };
}

export type Backend = Entity<{
  url?: string;
  protocol?: string;
  title?: string;
  description?: string;
  type?: "Single" | "Pool";
  credentials?: {
    certificateIds?: string[];
    certificate?: string[];
    header?: Record<string, string[]>;
    query?: Record<string, string[]>;
    authorization?: { scheme: string; parameter: string };
  };
  tls?: { validateCertificateChain?: boolean; validateCertificateName?: boolean; postern?: { caCertificates?: string[]; [other: string]: unknown } };
  circuitBreaker?: { rules?: BreakerRule[] };
  pool?: { services: { id: string; weight?: number; priority?: number }[] };
}>;
export interface BreakerRule {
  name?: string;
  failureCondition?: { count?: number; percentage?: number; interval?: string; statusCodeRanges?: { min: number; max: number }[]; errorReasons?: string[] };
  tripDuration?: string;
  acceptRetryAfter?: boolean;
}

export type Api = Entity<{
  displayName: string;
  description?: string;
  path: string;
  serviceUrl?: string;
  protocols?: string[];
  subscriptionRequired?: boolean;
  subscriptionKeyParameterNames?: { header?: string; query?: string };
  type?: string;
  apiRevision?: string;
  isCurrent?: boolean;
}>;
export type Operation = Entity<{
  displayName: string;
  method: string;
  urlTemplate: string;
  description?: string;
  templateParameters?: { name: string; required?: boolean; type?: string; defaultValue?: string; description?: string }[];
}>;
export type Product = Entity<{
  displayName: string;
  description?: string;
  terms?: string;
  subscriptionRequired?: boolean;
  approvalRequired?: boolean;
  subscriptionsLimit?: number;
  state?: "published" | "notPublished";
}>;
export type Policy = Entity<{ value: string; format: string }>;
export type Access = Entity<{ displayName?: string; scope: string; state: string; createdDate?: string; ownerId?: string; primaryKey?: string; secondaryKey?: string }>;

export type Vault = Entity<{
  vaultUri?: string;
  tenantId: string;
  enableRbacAuthorization?: boolean;
  accessPolicies?: { tenantId: string; objectId: string; applicationId?: string; permissions: { certificates?: string[]; secrets?: string[]; keys?: string[] } }[];
  networkAcls?: { defaultAction?: string; bypass?: string; ipRules?: { value: string }[]; virtualNetworkRules?: { id: string }[] };
  publicNetworkAccess?: string;
  softDeleteRetentionInDays?: number;
  enablePurgeProtection?: boolean;
  sku?: { family: string; name: string };
}> & { location: string };
